# ruff: noqa: N802 - the published names
"""A core made of a published package's own generated code. Runs in that package's environment.

    published_core.py 0.2|0.6|0.13

Prints its port; for each registration prints it as JSON, calls the processor that registered with a request in the
shape of its generation, and prints the results as JSON.
"""

import json
import sys
from concurrent import futures

import grpc
import service_pb2 as pb
import service_pb2_grpc
from google.protobuf import json_format

GENERATION = sys.argv[1]


def say(value):
    sys.stdout.write(json.dumps(value) + chr(10))
    sys.stdout.flush()


def make_window():
    window = pb.Window(window_type_name="Every30Second", window_type_version="1.0.0", origin="Example")
    if GENERATION == "0.13":
        window.time_from.seconds, window.time_to.seconds = 1747582274, 1747582304
        window.metadata.update({"asset_id": 1})
    else:
        window.time_from, window.time_to = 1747582274, 1747582304
    return window


def make_request(algorithms):
    request = pb.ExecutionRequest(exec_id="exec", window=make_window())
    mean = pb.Algorithm(name="Mean", version="1.0.0")
    for algorithm in algorithms:
        request.algorithms.add(name=algorithm.name, version=algorithm.version)
        if GENERATION == "0.13":
            execution = request.algorithm_executions.add()
            execution.algorithm.CopyFrom(pb.Algorithm(name=algorithm.name, version=algorithm.version))
            row = execution.dependencies.add(algorithm=mean).result.add()
            row.result.status, row.result.single_value = 0, 2.5
            row.window.CopyFrom(make_window())
    result = request.algorithm_results.add(algorithm=mean)
    result.result.single_value = 2.5
    return request


class Core(service_pb2_grpc.OrcaCoreServicer):
    def RegisterProcessor(self, request, context):
        say({"registration": json_format.MessageToDict(request)})
        pool.submit(self.call, request)
        return pb.Status(received=True, message="Successfully registered processor")

    def EmitWindow(self, request, context):
        return pb.WindowEmitStatus(status=1)

    def call(self, registration):
        with grpc.insecure_channel(registration.connection_str) as channel:
            stub = service_pb2_grpc.OrcaProcessorStub(channel)
            grpc.channel_ready_future(channel).result(60)
            health = stub.HealthCheck(pb.HealthCheckRequest(timestamp=1))
            found = {}
            for message in stub.ExecuteDagPart(make_request(registration.supported_algorithms), timeout=60):
                assert message.exec_id == "exec"
                answer = message.algorithm_result
                found[answer.algorithm.name] = json_format.MessageToDict(answer.result)
            say({"health": health.status, "memory": health.metrics.memory_bytes, "results": found})


pool = futures.ThreadPoolExecutor(4)
server = grpc.server(futures.ThreadPoolExecutor(4))
service_pb2_grpc.add_OrcaCoreServicer_to_server(Core(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
say({"port": port})
sys.stdin.read()
server.stop(0)
