"""Types of orca_query.proto.

Written by packages/processor/generate.py from proto/: do not edit.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message

from orca.processor._method import Method

class Ref(Message):
    name: str
    version: str
    def __init__(self, *, name: str | None = ..., version: str | None = ...) -> None: ...

class GetStatusRequest(Message):
    def __init__(self) -> None: ...

class CoreStatus(Message):
    version: str
    store: str
    started_ns: int
    windows: int
    open_runs: int
    failed_runs: int
    results: int
    active_runs: int
    calls: int
    oldest_open_ns: int
    processors: int
    processors_serving: int
    def __init__(self, *, version: str | None = ..., store: str | None = ..., started_ns: int | None = ..., windows: int | None = ..., open_runs: int | None = ..., failed_runs: int | None = ..., results: int | None = ..., active_runs: int | None = ..., calls: int | None = ..., oldest_open_ns: int | None = ..., processors: int | None = ..., processors_serving: int | None = ...) -> None: ...

class EmitWindow(Message):
    @property
    def window_type(self) -> Ref: ...
    time_from_ns: int
    time_to_ns: int
    origin: str
    metadata: str
    priority: int
    force: bool
    parent_id: int
    def __init__(self, *, window_type: Ref | None = ..., time_from_ns: int | None = ..., time_to_ns: int | None = ..., origin: str | None = ..., metadata: str | None = ..., priority: int | None = ..., force: bool | None = ..., parent_id: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type"]) -> bool: ...

class EmitManyRequest(Message):
    @property
    def windows(self) -> RepeatedCompositeFieldContainer[EmitWindow]: ...
    def __init__(self, *, windows: Iterable[EmitWindow] | None = ...) -> None: ...

class Emitted(Message):
    window_id: int
    run_id: int
    duplicate: bool
    def __init__(self, *, window_id: int | None = ..., run_id: int | None = ..., duplicate: bool | None = ...) -> None: ...

class EmitManyResponse(Message):
    @property
    def emitted(self) -> RepeatedCompositeFieldContainer[Emitted]: ...
    def __init__(self, *, emitted: Iterable[Emitted] | None = ...) -> None: ...

class Range(Message):
    from_ns: int
    to_ns: int
    def __init__(self, *, from_ns: int | None = ..., to_ns: int | None = ...) -> None: ...

class ListWindowsRequest(Message):
    @property
    def window_type(self) -> Ref: ...
    @property
    def range(self) -> Range: ...
    metadata: str
    after_id: int
    limit: int
    newest_first: bool
    id: int
    def __init__(self, *, window_type: Ref | None = ..., range: Range | None = ..., metadata: str | None = ..., after_id: int | None = ..., limit: int | None = ..., newest_first: bool | None = ..., id: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type", "range"]) -> bool: ...

class WindowRow(Message):
    id: int
    @property
    def window_type(self) -> Ref: ...
    time_from_ns: int
    time_to_ns: int
    origin: str
    metadata: str
    parent_id: int
    created_ns: int
    state: str
    run_id: int
    parent_exec_id: str
    def __init__(self, *, id: int | None = ..., window_type: Ref | None = ..., time_from_ns: int | None = ..., time_to_ns: int | None = ..., origin: str | None = ..., metadata: str | None = ..., parent_id: int | None = ..., created_ns: int | None = ..., state: str | None = ..., run_id: int | None = ..., parent_exec_id: str | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type"]) -> bool: ...

class ListRunsRequest(Message):
    state: str
    window_id: int
    @property
    def window_type(self) -> Ref: ...
    since_ns: int
    before_id: int
    limit: int
    def __init__(self, *, state: str | None = ..., window_id: int | None = ..., window_type: Ref | None = ..., since_ns: int | None = ..., before_id: int | None = ..., limit: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type"]) -> bool: ...

class RunRow(Message):
    id: int
    window_id: int
    @property
    def window_type(self) -> Ref: ...
    time_from_ns: int
    time_to_ns: int
    metadata: str
    kind: str
    state: str
    priority: int
    created_ns: int
    finished_ns: int
    succeeded: int
    failed: int
    skipped: int
    origin: str
    def __init__(self, *, id: int | None = ..., window_id: int | None = ..., window_type: Ref | None = ..., time_from_ns: int | None = ..., time_to_ns: int | None = ..., metadata: str | None = ..., kind: str | None = ..., state: str | None = ..., priority: int | None = ..., created_ns: int | None = ..., finished_ns: int | None = ..., succeeded: int | None = ..., failed: int | None = ..., skipped: int | None = ..., origin: str | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type"]) -> bool: ...

class GetRunRequest(Message):
    id: int
    window_id: int
    def __init__(self, *, id: int | None = ..., window_id: int | None = ...) -> None: ...

class ExecutionRow(Message):
    @property
    def algorithm(self) -> Ref: ...
    processor: str
    status: str
    attempts: int
    queued_ns: int
    sent_ns: int
    finished_ns: int
    address: str
    cause: str
    error: str
    @property
    def value(self) -> ResultValue: ...
    @property
    def failed_attempts(self) -> RepeatedCompositeFieldContainer[AttemptRow]: ...
    @property
    def depends_on(self) -> RepeatedCompositeFieldContainer[Ref]: ...
    def __init__(self, *, algorithm: Ref | None = ..., processor: str | None = ..., status: str | None = ..., attempts: int | None = ..., queued_ns: int | None = ..., sent_ns: int | None = ..., finished_ns: int | None = ..., address: str | None = ..., cause: str | None = ..., error: str | None = ..., value: ResultValue | None = ..., failed_attempts: Iterable[AttemptRow] | None = ..., depends_on: Iterable[Ref] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["algorithm", "value"]) -> bool: ...

class AttemptRow(Message):
    attempt: int
    sent_ns: int
    ended_ns: int
    address: str
    cause: str
    error: str
    def __init__(self, *, attempt: int | None = ..., sent_ns: int | None = ..., ended_ns: int | None = ..., address: str | None = ..., cause: str | None = ..., error: str | None = ...) -> None: ...

class RunDetail(Message):
    @property
    def run(self) -> RunRow: ...
    @property
    def executions(self) -> RepeatedCompositeFieldContainer[ExecutionRow]: ...
    def __init__(self, *, run: RunRow | None = ..., executions: Iterable[ExecutionRow] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["run"]) -> bool: ...

class WatchRequest(Message):
    @property
    def kinds(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(self, *, kinds: Iterable[str] | None = ...) -> None: ...

class CoreEvent(Message):
    kind: str
    at_ns: int
    detail: str
    def __init__(self, *, kind: str | None = ..., at_ns: int | None = ..., detail: str | None = ...) -> None: ...

class ResultValue(Message):
    number: float
    array: bytes
    json: str
    none: bool
    def __init__(self, *, number: float | None = ..., array: bytes | None = ..., json: str | None = ..., none: bool | None = ...) -> None: ...
    def HasField(self, field_name: Literal["number", "array", "json", "none", "value"]) -> bool: ...
    def WhichOneof(self, oneof_group: Literal["value"]) -> str | None: ...

class ReadResultsRequest(Message):
    @property
    def algorithm(self) -> Ref: ...
    @property
    def range(self) -> Range: ...
    metadata: str
    limit: int
    newest_first: bool
    window_id: int
    follow: bool
    def __init__(self, *, algorithm: Ref | None = ..., range: Range | None = ..., metadata: str | None = ..., limit: int | None = ..., newest_first: bool | None = ..., window_id: int | None = ..., follow: bool | None = ...) -> None: ...
    def HasField(self, field_name: Literal["algorithm", "range"]) -> bool: ...

class ResultRow(Message):
    @property
    def algorithm(self) -> Ref: ...
    window_id: int
    run_id: int
    @property
    def window_type(self) -> Ref: ...
    time_from_ns: int
    time_to_ns: int
    origin: str
    metadata: str
    @property
    def value(self) -> ResultValue: ...
    created_ns: int
    def __init__(self, *, algorithm: Ref | None = ..., window_id: int | None = ..., run_id: int | None = ..., window_type: Ref | None = ..., time_from_ns: int | None = ..., time_to_ns: int | None = ..., origin: str | None = ..., metadata: str | None = ..., value: ResultValue | None = ..., created_ns: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["algorithm", "window_type", "value"]) -> bool: ...

class ListProcessorsRequest(Message):
    history: bool
    def __init__(self, *, history: bool | None = ...) -> None: ...

class InstanceRow(Message):
    address: str
    state: str
    seen_ns: int
    in_flight: int
    detail: str
    features: str
    def __init__(self, *, address: str | None = ..., state: str | None = ..., seen_ns: int | None = ..., in_flight: int | None = ..., detail: str | None = ..., features: str | None = ...) -> None: ...

class ProcessorRow(Message):
    name: str
    project: str
    runtime: str
    set_version: int
    registered_ns: int
    @property
    def instances(self) -> RepeatedCompositeFieldContainer[InstanceRow]: ...
    @property
    def algorithms(self) -> RepeatedCompositeFieldContainer[AlgorithmRow]: ...
    def __init__(self, *, name: str | None = ..., project: str | None = ..., runtime: str | None = ..., set_version: int | None = ..., registered_ns: int | None = ..., instances: Iterable[InstanceRow] | None = ..., algorithms: Iterable[AlgorithmRow] | None = ...) -> None: ...

class AlgorithmRow(Message):
    @property
    def algorithm(self) -> Ref: ...
    @property
    def window_type(self) -> Ref: ...
    description: str
    result_type: str
    @property
    def depends_on(self) -> RepeatedCompositeFieldContainer[Ref]: ...
    def __init__(self, *, algorithm: Ref | None = ..., window_type: Ref | None = ..., description: str | None = ..., result_type: str | None = ..., depends_on: Iterable[Ref] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["algorithm", "window_type"]) -> bool: ...

class ReprocessRequest(Message):
    window_id: int
    run_id: int
    @property
    def window_type(self) -> Ref: ...
    @property
    def range(self) -> Range: ...
    failed: bool
    reuse: bool
    priority: int
    since_ns: int
    def __init__(self, *, window_id: int | None = ..., run_id: int | None = ..., window_type: Ref | None = ..., range: Range | None = ..., failed: bool | None = ..., reuse: bool | None = ..., priority: int | None = ..., since_ns: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type", "range"]) -> bool: ...

class ReprocessProgress(Message):
    done: int
    total: int
    run_id: int
    window_id: int
    def __init__(self, *, done: int | None = ..., total: int | None = ..., run_id: int | None = ..., window_id: int | None = ...) -> None: ...

class ScheduleRow(Message):
    name: str
    @property
    def window_type(self) -> Ref: ...
    cron: str
    every_ns: int
    length_ns: int
    timezone: str
    origin: str
    metadata: str
    catch_up: str
    paused: bool
    next_ns: int
    last_ns: int
    priority: int
    start_ns: int
    def __init__(self, *, name: str | None = ..., window_type: Ref | None = ..., cron: str | None = ..., every_ns: int | None = ..., length_ns: int | None = ..., timezone: str | None = ..., origin: str | None = ..., metadata: str | None = ..., catch_up: str | None = ..., paused: bool | None = ..., next_ns: int | None = ..., last_ns: int | None = ..., priority: int | None = ..., start_ns: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["window_type"]) -> bool: ...

class ListSchedulesRequest(Message):
    def __init__(self) -> None: ...

class DeleteScheduleRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class DeleteScheduleResponse(Message):
    def __init__(self) -> None: ...

class AnnotationRow(Message):
    id: int
    time_from_ns: int
    time_to_ns: int
    description: str
    metadata: str
    @property
    def algorithms(self) -> RepeatedCompositeFieldContainer[Ref]: ...
    @property
    def window_types(self) -> RepeatedCompositeFieldContainer[Ref]: ...
    created_ns: int
    def __init__(self, *, id: int | None = ..., time_from_ns: int | None = ..., time_to_ns: int | None = ..., description: str | None = ..., metadata: str | None = ..., algorithms: Iterable[Ref] | None = ..., window_types: Iterable[Ref] | None = ..., created_ns: int | None = ...) -> None: ...

class ListAnnotationsRequest(Message):
    @property
    def range(self) -> Range: ...
    @property
    def algorithm(self) -> Ref: ...
    @property
    def window_type(self) -> Ref: ...
    limit: int
    def __init__(self, *, range: Range | None = ..., algorithm: Ref | None = ..., window_type: Ref | None = ..., limit: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["range", "algorithm", "window_type"]) -> bool: ...

class DeleteAnnotationRequest(Message):
    id: int
    def __init__(self, *, id: int | None = ...) -> None: ...

class DeleteAnnotationResponse(Message):
    def __init__(self) -> None: ...

class SqlRequest(Message):
    statement: str
    limit: int
    def __init__(self, *, statement: str | None = ..., limit: int | None = ...) -> None: ...

class SqlRow(Message):
    values: str
    def __init__(self, *, values: str | None = ...) -> None: ...

class BackupRequest(Message):
    path: str
    def __init__(self, *, path: str | None = ...) -> None: ...

class BackupResponse(Message):
    path: str
    size_bytes: int
    def __init__(self, *, path: str | None = ..., size_bytes: int | None = ...) -> None: ...

class RetainRequest(Message):
    older_than_ns: int
    keep: int
    def __init__(self, *, older_than_ns: int | None = ..., keep: int | None = ...) -> None: ...

class RetainResponse(Message):
    deleted: int
    def __init__(self, *, deleted: int | None = ...) -> None: ...

class CreateTokenRequest(Message):
    name: str
    @property
    def scopes(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(self, *, name: str | None = ..., scopes: Iterable[str] | None = ...) -> None: ...

class CreateTokenResponse(Message):
    token: str
    def __init__(self, *, token: str | None = ...) -> None: ...

class ListTokensRequest(Message):
    def __init__(self) -> None: ...

class TokenRow(Message):
    name: str
    @property
    def scopes(self) -> RepeatedScalarFieldContainer[str]: ...
    created_ns: int
    def __init__(self, *, name: str | None = ..., scopes: Iterable[str] | None = ..., created_ns: int | None = ...) -> None: ...

class DeleteTokenRequest(Message):
    name: str
    def __init__(self, *, name: str | None = ...) -> None: ...

class DeleteTokenResponse(Message):
    def __init__(self) -> None: ...

class OrcaQuery:
    GetStatus: ClassVar[Method[GetStatusRequest, CoreStatus]]
    EmitMany: ClassVar[Method[EmitManyRequest, EmitManyResponse]]
    ListWindows: ClassVar[Method[ListWindowsRequest, WindowRow]]
    ListRuns: ClassVar[Method[ListRunsRequest, RunRow]]
    GetRun: ClassVar[Method[GetRunRequest, RunDetail]]
    WatchRun: ClassVar[Method[GetRunRequest, RunDetail]]
    Watch: ClassVar[Method[WatchRequest, CoreEvent]]
    ReadResults: ClassVar[Method[ReadResultsRequest, ResultRow]]
    ListProcessors: ClassVar[Method[ListProcessorsRequest, ProcessorRow]]
    Reprocess: ClassVar[Method[ReprocessRequest, ReprocessProgress]]
    CancelRun: ClassVar[Method[GetRunRequest, RunRow]]
    PutSchedule: ClassVar[Method[ScheduleRow, ScheduleRow]]
    ListSchedules: ClassVar[Method[ListSchedulesRequest, ScheduleRow]]
    DeleteSchedule: ClassVar[Method[DeleteScheduleRequest, DeleteScheduleResponse]]
    PutAnnotation: ClassVar[Method[AnnotationRow, AnnotationRow]]
    ListAnnotations: ClassVar[Method[ListAnnotationsRequest, AnnotationRow]]
    DeleteAnnotation: ClassVar[Method[DeleteAnnotationRequest, DeleteAnnotationResponse]]
    Sql: ClassVar[Method[SqlRequest, SqlRow]]
    Backup: ClassVar[Method[BackupRequest, BackupResponse]]
    Retain: ClassVar[Method[RetainRequest, RetainResponse]]
    CreateToken: ClassVar[Method[CreateTokenRequest, CreateTokenResponse]]
    ListTokens: ClassVar[Method[ListTokensRequest, TokenRow]]
    DeleteToken: ClassVar[Method[DeleteTokenRequest, DeleteTokenResponse]]
