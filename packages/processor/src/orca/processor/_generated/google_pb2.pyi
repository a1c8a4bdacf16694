"""Types of google/protobuf/struct.proto, google/protobuf/timestamp.proto.

Written by packages/processor/generate.py from proto/: do not edit.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from google.protobuf.internal.containers import MessageMap, RepeatedCompositeFieldContainer
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

NullValue: EnumTypeWrapper
NULL_VALUE: Literal[0]

class Struct(Message):
    @property
    def fields(self) -> MessageMap[str, Value]: ...
    def __init__(self, *, fields: Mapping[str, Value] | None = ...) -> None: ...

class Value(Message):
    null_value: int
    number_value: float
    string_value: str
    bool_value: bool
    @property
    def struct_value(self) -> Struct: ...
    @property
    def list_value(self) -> ListValue: ...
    def __init__(self, *, null_value: int | None = ..., number_value: float | None = ..., string_value: str | None = ..., bool_value: bool | None = ..., struct_value: Struct | None = ..., list_value: ListValue | None = ...) -> None: ...
    def HasField(self, field_name: Literal["null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value", "kind"]) -> bool: ...
    def WhichOneof(self, oneof_group: Literal["kind"]) -> str | None: ...

class ListValue(Message):
    @property
    def values(self) -> RepeatedCompositeFieldContainer[Value]: ...
    def __init__(self, *, values: Iterable[Value] | None = ...) -> None: ...

class Timestamp(Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int | None = ..., nanos: int | None = ...) -> None: ...
    def FromNanoseconds(self, nanos: int) -> None: ...
    def ToNanoseconds(self) -> int: ...
