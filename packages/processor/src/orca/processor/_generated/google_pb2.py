"""The messages, enums and methods of google/protobuf/struct.proto, google/protobuf/timestamp.proto.

Written by packages/processor/generate.py from proto/: do not edit.
"""

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from orca.processor._generated.descriptors_pb2 import POOL

NullValue = EnumTypeWrapper(POOL.FindEnumTypeByName("google.protobuf.NullValue"))
NULL_VALUE = 0
Struct = GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.Struct"))
Value = GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.Value"))
ListValue = GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.ListValue"))
Timestamp = GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.Timestamp"))
