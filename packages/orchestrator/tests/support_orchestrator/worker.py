"""A processor over real gRPC whose algorithms are plain functions of (inputs by name, window message)."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import grpc
import grpc.aio

from orca.processor import convert, structs, wire
from ports import free_port

FAIL = "fail"


class Worker:
    """Offers algorithms to a core.

    Args:
        name: The processor's name.
        bodies: By algorithm name: a function, sync or async, of (inputs, request) that gives the result's value.
        chains: Announce that chains are taken in one call.
    """

    def __init__(self, name: str, bodies: dict[str, Any], *, chains: bool = False, project: str = "") -> None:
        self.name, self.bodies, self.chains, self.project = name, bodies, chains, project
        self.requests: list[wire.ExecutionRequest] = []
        self.algorithms: dict[str, wire.Algorithm] = {}
        self.metadata: list[dict[str, str]] = []
        self.serving = True
        self.port = 0
        self._server: grpc.aio.Server | None = None

    def algorithm(
        self, name: str, *needs: str, window: str = "Every30Second", version: str = "1.0.0"
    ) -> wire.Algorithm:
        """Declare an algorithm; the message may be changed before `register`."""
        message = wire.Algorithm(name=name, version=version, result_type=wire.VALUE, description=name)
        message.window_type.name, message.window_type.version = window, "1.0.0"
        for need in needs:
            message.dependencies.add(name=need, version="1.0.0")
        self.algorithms[name] = message
        return message

    async def start(self, port: int = 0, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self._server = grpc.aio.server(options=wire.channel_options(server=True))
        handlers = {
            wire.OrcaProcessor.ExecuteDagPart: self.execute,
            wire.OrcaProcessor.HealthCheck: self.health,
        }
        self._server.add_generic_rpc_handlers((wire.aio_handler(handlers),))
        # It may be stopped and started again: its port must not be anybody else's meanwhile.
        target = f"127.0.0.1:{port or self.port or free_port()}"
        if credentials is None:
            self.port = self._server.add_insecure_port(target)
        else:
            self.port = self._server.add_secure_port(target, credentials)
        await self._server.start()

    def message(self, address: str = "") -> wire.ProcessorRegistration:
        return wire.ProcessorRegistration(
            name=self.name,
            runtime="3.11.7",
            connection_str=address or f"127.0.0.1:{self.port}",
            project_name=self.project,
            supported_algorithms=list(self.algorithms.values()),
        )

    async def register(self, core: str, *, address: str = "") -> wire.Status:
        async with grpc.aio.insecure_channel(core) as channel:
            metadata = ((wire.FEATURES_KEY, wire.FEATURE_CHAINS),) if self.chains else ()
            call = wire.call(channel, wire.OrcaCore.RegisterProcessor)
            return await call(self.message(address), metadata=metadata, timeout=60)

    async def stop(self, grace: float | None = None) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    async def health(self, request: Any, context: Any) -> wire.HealthCheckResponse:
        status = wire.HealthCheckResponse
        return status(status=status.STATUS_SERVING if self.serving else status.STATUS_NOT_SERVING)

    async def execute(self, request: wire.ExecutionRequest, context: Any) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        results: dict[str, Any] = {}
        names = {entry.algorithm.name for entry in request.algorithm_executions}
        for execution in request.algorithm_executions:
            algorithm = execution.algorithm
            inputs = {
                entry.algorithm.name: [convert.result_value(row.result) for row in entry.result]
                for entry in execution.dependencies
            }
            if execution.selfResults:
                inputs[algorithm.name] = [convert.result_value(row.result) for row in execution.selfResults]
            for need in self.algorithms[algorithm.name].dependencies:
                if need.name in names and need.name in results:
                    inputs[need.name] = [results[need.name]]
            if any(
                need.name in names and need.name not in results
                for need in self.algorithms[algorithm.name].dependencies
                if not need.lookback_num and not need.lookback_time_delta
            ):
                continue
            answer = wire.ExecutionResult(exec_id=request.exec_id)
            answer.algorithm_result.algorithm.CopyFrom(algorithm)
            await self._run(algorithm.name, inputs, request, answer.algorithm_result.result, results)
            yield answer

    async def _run(
        self, name: str, inputs: Any, request: Any, result: wire.Result, results: dict[str, Any]
    ) -> None:
        try:
            value = self.bodies[name](inputs, request)
            if inspect.isawaitable(value):
                value = await value
        except asyncio.CancelledError:
            raise
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a body raises is its result
            result.status = wire.RESULT_STATUS_UNHANDLED_FAILED
            structs.fill_struct(
                result.error, {"kind": "raised", "type": type(error).__name__, "message": str(error)}
            )
            return
        if isinstance(value, wire.Result):
            result.CopyFrom(value)
            return
        results[name] = value
        convert.fill_result(result, value, convert.kind_of(value))


def chain(name: str = "chain", *, chains: bool = True, length: int = 3) -> Worker:
    """A -> B -> C of no-ops that count."""
    names = [chr(ord("A") + number) for number in range(length)]
    bodies = {
        entry: (lambda inputs, request: sum(sum(rows) for rows in inputs.values()) + 1.0) for entry in names
    }
    worker = Worker(name, bodies, chains=chains)
    for before, entry in zip(["", *names], names, strict=False):
        worker.algorithm(entry, *([before] if before else []))
    return worker
