"""The messages, enums and methods of orca_wire.proto.

Written by packages/processor/generate.py from proto/: do not edit.
"""

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from orca.processor._generated.descriptors_pb2 import POOL
from orca.processor._method import Method

ResultType = EnumTypeWrapper(POOL.FindEnumTypeByName("ResultType"))
NOT_SPECIFIED = 0
STRUCT = 1
VALUE = 2
ARRAY = 3
NONE = 4
ResultStatus = EnumTypeWrapper(POOL.FindEnumTypeByName("ResultStatus"))
RESULT_STATUS_HANDLED_FAILED = 0
RESULT_STATUS_UNHANDLED_FAILED = 1
RESULT_STATUS_SUCEEDED = 2
Window = GetMessageClass(POOL.FindMessageTypeByName("Window"))
MetadataField = GetMessageClass(POOL.FindMessageTypeByName("MetadataField"))
WindowType = GetMessageClass(POOL.FindMessageTypeByName("WindowType"))
WindowEmitStatus = GetMessageClass(POOL.FindMessageTypeByName("WindowEmitStatus"))
AlgorithmDependency = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmDependency"))
Algorithm = GetMessageClass(POOL.FindMessageTypeByName("Algorithm"))
FloatArray = GetMessageClass(POOL.FindMessageTypeByName("FloatArray"))
Result = GetMessageClass(POOL.FindMessageTypeByName("Result"))
ProcessorRegistration = GetMessageClass(POOL.FindMessageTypeByName("ProcessorRegistration"))
AlgorithmResult = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmResult"))
AlgorithmDependencyResultRow = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmDependencyResultRow"))
AlgorithmDependencyResult = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmDependencyResult"))
ExecuteAlgorithm = GetMessageClass(POOL.FindMessageTypeByName("ExecuteAlgorithm"))
ExecutionRequest = GetMessageClass(POOL.FindMessageTypeByName("ExecutionRequest"))
ExecutionResult = GetMessageClass(POOL.FindMessageTypeByName("ExecutionResult"))
Status = GetMessageClass(POOL.FindMessageTypeByName("Status"))
HealthCheckRequest = GetMessageClass(POOL.FindMessageTypeByName("HealthCheckRequest"))
HealthCheckResponse = GetMessageClass(POOL.FindMessageTypeByName("HealthCheckResponse"))
ProcessorMetrics = GetMessageClass(POOL.FindMessageTypeByName("ProcessorMetrics"))
ExposeSettings = GetMessageClass(POOL.FindMessageTypeByName("ExposeSettings"))
InternalState = GetMessageClass(POOL.FindMessageTypeByName("InternalState"))
WindowTypeRead = GetMessageClass(POOL.FindMessageTypeByName("WindowTypeRead"))
WindowTypes = GetMessageClass(POOL.FindMessageTypeByName("WindowTypes"))
AlgorithmsRead = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmsRead"))
Algorithms = GetMessageClass(POOL.FindMessageTypeByName("Algorithms"))
ProcessorsRead = GetMessageClass(POOL.FindMessageTypeByName("ProcessorsRead"))
Processors = GetMessageClass(POOL.FindMessageTypeByName("Processors"))
ResultsStatsRead = GetMessageClass(POOL.FindMessageTypeByName("ResultsStatsRead"))
ResultsStats = GetMessageClass(POOL.FindMessageTypeByName("ResultsStats"))
AlgorithmFieldsRead = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmFieldsRead"))
AlgorithmFields = GetMessageClass(POOL.FindMessageTypeByName("AlgorithmFields"))
ResultsForAlgorithmRead = GetMessageClass(POOL.FindMessageTypeByName("ResultsForAlgorithmRead"))
ResultsForAlgorithm = GetMessageClass(POOL.FindMessageTypeByName("ResultsForAlgorithm"))
WindowsRead = GetMessageClass(POOL.FindMessageTypeByName("WindowsRead"))
Windows = GetMessageClass(POOL.FindMessageTypeByName("Windows"))
DistinctMetadataForWindowTypeRead = GetMessageClass(POOL.FindMessageTypeByName("DistinctMetadataForWindowTypeRead"))
DistinctMetadataForWindowType = GetMessageClass(POOL.FindMessageTypeByName("DistinctMetadataForWindowType"))
WindowsForMetadataRead = GetMessageClass(POOL.FindMessageTypeByName("WindowsForMetadataRead"))
WindowsForMetadata = GetMessageClass(POOL.FindMessageTypeByName("WindowsForMetadata"))
ResultsForAlgorithmAndMetadataRead = GetMessageClass(POOL.FindMessageTypeByName("ResultsForAlgorithmAndMetadataRead"))
ResultsForAlgorithmAndMetadata = GetMessageClass(POOL.FindMessageTypeByName("ResultsForAlgorithmAndMetadata"))
AnnotateWrite = GetMessageClass(POOL.FindMessageTypeByName("AnnotateWrite"))
AnnotateResponse = GetMessageClass(POOL.FindMessageTypeByName("AnnotateResponse"))


class OrcaCore:
    RegisterProcessor = Method("/OrcaCore/RegisterProcessor", ProcessorRegistration, Status, False, False)
    EmitWindow = Method("/OrcaCore/EmitWindow", Window, WindowEmitStatus, False, False)
    Expose = Method("/OrcaCore/Expose", ExposeSettings, InternalState, False, False)
    ReadWindowTypes = Method("/OrcaCore/ReadWindowTypes", WindowTypeRead, WindowTypes, False, False)
    ReadAlgorithms = Method("/OrcaCore/ReadAlgorithms", AlgorithmsRead, Algorithms, False, False)
    ReadProcessors = Method("/OrcaCore/ReadProcessors", ProcessorsRead, Processors, False, False)
    ReadResultsStats = Method("/OrcaCore/ReadResultsStats", ResultsStatsRead, ResultsStats, False, False)
    ReadResultFieldsForAlgorithm = Method("/OrcaCore/ReadResultFieldsForAlgorithm", AlgorithmFieldsRead, AlgorithmFields, False, False)
    ReadResultsForAlgorithm = Method("/OrcaCore/ReadResultsForAlgorithm", ResultsForAlgorithmRead, ResultsForAlgorithm, False, False)
    ReadWindows = Method("/OrcaCore/ReadWindows", WindowsRead, Windows, False, False)
    ReadDistinctMetadataForWindowType = Method("/OrcaCore/ReadDistinctMetadataForWindowType", DistinctMetadataForWindowTypeRead, DistinctMetadataForWindowType, False, False)
    ReadWindowsForMetadata = Method("/OrcaCore/ReadWindowsForMetadata", WindowsForMetadataRead, WindowsForMetadata, False, False)
    ReadResultsForAlgorithmAndMetadata = Method("/OrcaCore/ReadResultsForAlgorithmAndMetadata", ResultsForAlgorithmAndMetadataRead, ResultsForAlgorithmAndMetadata, False, False)
    Annotate = Method("/OrcaCore/Annotate", AnnotateWrite, AnnotateResponse, False, False)


class OrcaProcessor:
    ExecuteDagPart = Method("/OrcaProcessor/ExecuteDagPart", ExecutionRequest, ExecutionResult, False, True)
    HealthCheck = Method("/OrcaProcessor/HealthCheck", HealthCheckRequest, HealthCheckResponse, False, False)
