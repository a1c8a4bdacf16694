"""The messages of the wire and the names that go with them; :mod:`orca.processor.wire` adds what speaks them."""

from __future__ import annotations

from typing import Final

from orca.processor._generated.descriptors_pb2 import POOL
from orca.processor._generated.google_pb2 import ListValue, NullValue, Struct, Timestamp, Value
from orca.processor._generated.orca_wire_pb2 import (
    ARRAY,
    NONE,
    NOT_SPECIFIED,
    RESULT_STATUS_HANDLED_FAILED,
    RESULT_STATUS_SUCEEDED,
    RESULT_STATUS_UNHANDLED_FAILED,
    STRUCT,
    VALUE,
    Algorithm,
    AlgorithmDependency,
    AlgorithmDependencyResult,
    AlgorithmDependencyResultRow,
    AlgorithmFields,
    AlgorithmFieldsRead,
    AlgorithmResult,
    Algorithms,
    AlgorithmsRead,
    AnnotateResponse,
    AnnotateWrite,
    DistinctMetadataForWindowType,
    DistinctMetadataForWindowTypeRead,
    ExecuteAlgorithm,
    ExecutionRequest,
    ExecutionResult,
    ExposeSettings,
    FloatArray,
    HealthCheckRequest,
    HealthCheckResponse,
    InternalState,
    MetadataField,
    OrcaCore,
    OrcaProcessor,
    ProcessorMetrics,
    ProcessorRegistration,
    Processors,
    ProcessorsRead,
    Result,
    ResultsForAlgorithm,
    ResultsForAlgorithmAndMetadata,
    ResultsForAlgorithmAndMetadataRead,
    ResultsForAlgorithmRead,
    ResultsStats,
    ResultsStatsRead,
    ResultStatus,
    ResultType,
    Status,
    Window,
    WindowEmitStatus,
    Windows,
    WindowsForMetadata,
    WindowsForMetadataRead,
    WindowsRead,
    WindowType,
    WindowTypeRead,
    WindowTypes,
)

__all__ = [
    "ARRAY",
    "ATTEMPT_KEY",
    "AUTHORIZATION_KEY",
    "DUPLICATE_KEY",
    "ERROR_KINDS",
    "FEATURES",
    "FEATURES_KEY",
    "FEATURE_CHAINS",
    "FORCE_KEY",
    "IDEMPOTENCY_KEY",
    "MESSAGE_BYTES_MAX",
    "NONE",
    "NOT_SPECIFIED",
    "PARENT_EXEC_KEY",
    "PARENT_WINDOW_KEY",
    "POOL",
    "PRIORITY_KEY",
    "RESULT_STATUS_HANDLED_FAILED",
    "RESULT_STATUS_SUCEEDED",
    "RESULT_STATUS_UNHANDLED_FAILED",
    "STRUCT",
    "TRACEPARENT_KEY",
    "VALUE",
    "WINDOW_ID_KEY",
    "Algorithm",
    "AlgorithmDependency",
    "AlgorithmDependencyResult",
    "AlgorithmDependencyResultRow",
    "AlgorithmFields",
    "AlgorithmFieldsRead",
    "AlgorithmResult",
    "Algorithms",
    "AlgorithmsRead",
    "AnnotateResponse",
    "AnnotateWrite",
    "DistinctMetadataForWindowType",
    "DistinctMetadataForWindowTypeRead",
    "ExecuteAlgorithm",
    "ExecutionRequest",
    "ExecutionResult",
    "ExposeSettings",
    "FloatArray",
    "HealthCheckRequest",
    "HealthCheckResponse",
    "InternalState",
    "ListValue",
    "MetadataField",
    "NullValue",
    "OrcaCore",
    "OrcaProcessor",
    "ProcessorMetrics",
    "ProcessorRegistration",
    "Processors",
    "ProcessorsRead",
    "Result",
    "ResultStatus",
    "ResultType",
    "ResultsForAlgorithm",
    "ResultsForAlgorithmAndMetadata",
    "ResultsForAlgorithmAndMetadataRead",
    "ResultsForAlgorithmRead",
    "ResultsStats",
    "ResultsStatsRead",
    "Status",
    "Struct",
    "Timestamp",
    "Value",
    "Window",
    "WindowEmitStatus",
    "WindowType",
    "WindowTypeRead",
    "WindowTypes",
    "Windows",
    "WindowsForMetadata",
    "WindowsForMetadataRead",
    "WindowsRead",
]

MESSAGE_BYTES_MAX: Final = 50 * 1024 * 1024
"""What every server and channel of ours accepts and sends: the published SDKs' limit, equal on both sides."""

AUTHORIZATION_KEY: Final = "authorization"
FEATURES_KEY: Final = "orca-features"
WINDOW_ID_KEY: Final = "orca-window-id"
DUPLICATE_KEY: Final = "orca-duplicate"
ATTEMPT_KEY: Final = "orca-attempt"
PARENT_EXEC_KEY: Final = "orca-parent-exec-id"
PARENT_WINDOW_KEY: Final = "orca-parent-window-id"
FORCE_KEY: Final = "orca-force"
PRIORITY_KEY: Final = "orca-priority"
IDEMPOTENCY_KEY: Final = "orca-idempotency-key"
TRACEPARENT_KEY: Final = "traceparent"

FEATURE_CHAINS: Final = "chains"
FEATURES: Final = (FEATURE_CHAINS,)
"""What this package's processor announces under ``orca-features``."""

ERROR_KINDS: Final = (
    "raised",
    "timeout",
    "cancelled",
    "skipped",
    "result",
    "input",
    "unknown",
    "too_large",
    "lost",
)
"""``raised`` by the algorithm; ``result``: it returned what its type does not allow; ``input``: a
dependency had another form than the algorithm takes; ``unknown``: no such algorithm here; ``lost``: its
executor died."""
