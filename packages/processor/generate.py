"""Write the protocol code of this package from every ``proto/*.proto``; ``--check`` compares instead.

What protoc's Python plug-in writes refuses runtimes of other major versions and registers its messages in
protobuf's default pool, where unqualified names collide with any other package of the same wire. So this
script takes only the descriptors from protoc and writes three things from them:

* ``_generated/descriptors_pb2.py``: every file descriptor, serialized, and the private pool that holds them;
* ``_generated/X_pb2.py``: the messages, enums and methods of ``proto/X.proto``, fetched from the pool;
* ``_generated/X_pb2.pyi``: their types.

The messages of google.protobuf that the files use go to ``_generated/google_pb2``.

``_generated/client_sync.py`` is the client for ordinary code: ``_client_async.py`` without its ``async``.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2 as d

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(__file__).resolve().parent
PROTO = PACKAGE.parents[1] / "proto"
TARGET = PACKAGE / "src" / "orca" / "processor" / "_generated"
IMPORT = "orca.processor._generated"
HEADER = '"""{}\n\nWritten by packages/processor/generate.py from proto/: do not edit.\n"""\n\n'

ASYNC_CLIENT = TARGET.parent / "_client_async.py"

SCALARS = {
    d.FieldDescriptorProto.TYPE_DOUBLE: "float",
    d.FieldDescriptorProto.TYPE_FLOAT: "float",
    d.FieldDescriptorProto.TYPE_BOOL: "bool",
    d.FieldDescriptorProto.TYPE_STRING: "str",
    d.FieldDescriptorProto.TYPE_BYTES: "bytes",
}
MESSAGE = d.FieldDescriptorProto.TYPE_MESSAGE
REPEATED = d.FieldDescriptorProto.LABEL_REPEATED


def main(arguments: list[str] | None = None) -> int:
    """Write or compare; the exit code is 1 when a file is stale."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    check: bool = parser.parse_args(arguments).check
    wanted = {**dict(_render(_compile())), "client_sync.py": _without_async(ASYNC_CLIENT.read_text())}
    stale = [name for name, text in wanted.items() if _current(name) != text]
    known = {*wanted, "__init__.py"}
    stale += [
        p.name for p in sorted(TARGET.glob("*.py*")) if p.suffix in {".py", ".pyi"} and p.name not in known
    ]
    for name in stale:
        if check:
            print(f"stale: {(TARGET / name).relative_to(PACKAGE)} (run packages/processor/generate.py)")
        elif name in wanted:
            (TARGET / name).write_text(wanted[name], encoding="utf-8", newline="\n")
            print(f"wrote {(TARGET / name).relative_to(PACKAGE)}")
        else:
            (TARGET / name).unlink()
    return 1 if check and stale else 0


def _current(name: str) -> str:
    path = TARGET / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _compile() -> list[d.FileDescriptorProto]:
    """All files that proto/ needs, imports first."""
    import grpc_tools  # noqa: PLC0415 - only a development tool
    from grpc_tools import protoc  # noqa: PLC0415

    names = sorted(path.name for path in PROTO.glob("*.proto"))
    known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        flags = [f"-I{PROTO}", f"-I{known}", f"--descriptor_set_out={out}", "--include_imports"]
        if protoc.main(["protoc", *flags, *names]) != 0:
            raise SystemExit("protoc refused the files above")
        files = list(d.FileDescriptorSet.FromString(out.read_bytes()).file)
    for file in files:
        # Options speak to other languages' generators; nothing of them reaches the wire.
        file.ClearField("options")
    return files


def _module(file_name: str) -> str:
    return "google" if file_name.startswith("google/") else Path(file_name).stem


def _render(files: list[d.FileDescriptorProto]) -> Iterator[tuple[str, str]]:
    yield "descriptors_pb2.py", _descriptors(files)
    modules: dict[str, list[d.FileDescriptorProto]] = {}
    for file in files:
        modules.setdefault(_module(file.name), []).append(file)
    owners = {f".{full}": _module(f.name) for f in files for full in _full_names(f)}
    for module, members in sorted(modules.items()):
        yield f"{module}_pb2.py", _runtime(module, members, owners)
        yield f"{module}_pb2.pyi", _Stub(module, members, owners).text()


def _full_names(file: d.FileDescriptorProto) -> Iterator[str]:
    prefix = f"{file.package}." if file.package else ""

    def walk(message: d.DescriptorProto, outer: str) -> Iterator[str]:
        name = f"{outer}{message.name}"
        yield name
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        for nested in message.nested_type:
            yield from walk(nested, f"{name}.")

    yield from (f"{prefix}{enum.name}" for enum in file.enum_type)
    for message in file.message_type:
        yield from walk(message, prefix)


def _descriptors(files: list[d.FileDescriptorProto]) -> str:
    lines = [
        HEADER.format("The descriptors of the protocol, in a pool of their own."),
        "import base64\n\nfrom google.protobuf import descriptor_pool\n\n",
        "POOL = descriptor_pool.DescriptorPool()\n",
    ]
    for file in files:
        code = base64.b64encode(file.SerializeToString(deterministic=True)).decode()
        body = "\n".join(f'    "{part}"' for part in textwrap.wrap(code, 100))
        lines.append(f"\n# {file.name}\nPOOL.AddSerializedFile(base64.b64decode(\n{body}\n))\n")
    return "".join(lines)


def _runtime(module: str, files: list[d.FileDescriptorProto], owners: dict[str, str]) -> str:
    foreign = sorted({owners[t] for t in _method_types(files)} - {module})
    lines = [
        HEADER.format(f"The messages, enums and methods of {', '.join(f.name for f in files)}."),
        "from google.protobuf.message_factory import GetMessageClass\n\n",
        *(f"from {IMPORT} import {name}_pb2\n" for name in foreign),
        f"from {IMPORT}.descriptors_pb2 import POOL\n",
    ]
    if any(f.enum_type for f in files):
        lines.insert(1, "from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper\n")
    if any(f.service for f in files):
        lines.append("from orca.processor._method import Method\n")
    lines.append("\n")
    for file in files:
        prefix = f"{file.package}." if file.package else ""
        for enum in file.enum_type:
            lines.append(f'{enum.name} = EnumTypeWrapper(POOL.FindEnumTypeByName("{prefix}{enum.name}"))\n')
            lines += [f"{value.name} = {value.number}\n" for value in enum.value]
        lines += [
            f'{m.name} = GetMessageClass(POOL.FindMessageTypeByName("{prefix}{m.name}"))\n'
            for m in file.message_type
        ]
        for service in file.service:
            lines.append(f"\n\nclass {service.name}:\n")
            for method in service.method:
                path = f"/{prefix}{service.name}/{method.name}"
                sides = (method.input_type, method.output_type)
                types = ", ".join(_qualified(side, module, owners) for side in sides)
                flags = f"{method.client_streaming}, {method.server_streaming}"
                lines.append(f'    {method.name} = Method("{path}", {types}, {flags})\n')
    return "".join(lines)


def _method_types(files: Iterable[d.FileDescriptorProto]) -> Iterator[str]:
    for file in files:
        for service in file.service:
            for method in service.method:
                yield method.input_type
                yield method.output_type


def _qualified(type_name: str, module: str, owners: dict[str, str]) -> str:
    """The Python name of a type; packages fall away, nested names keep their dots."""
    owner = owners[type_name]
    parts = type_name.lstrip(".").split(".")
    while parts and parts[0][:1].islower():
        parts.pop(0)
    name = ".".join(parts)
    return name if owner == module else f"{owner}_pb2.{name}"


class _Stub:
    """The .pyi of one module."""

    def __init__(self, module: str, files: list[d.FileDescriptorProto], owners: dict[str, str]) -> None:
        self.module, self.files, self.owners = module, files, owners
        self.foreign: set[str] = set()

    def text(self) -> str:
        body = "".join(self._file(file) for file in self.files)
        imports = "".join(f"from {IMPORT} import {name}_pb2\n" for name in sorted(self.foreign))
        head = HEADER.format(f"Types of {', '.join(f.name for f in self.files)}.")
        if "Sequence[" in body or "Mapping[" in body:
            names = [n for n in ("Iterable", "Mapping") if f"{n}[" in body]
            head += f"from collections.abc import {', '.join(names)}\n" if names else ""
        elif "Iterable[" in body:
            head += "from collections.abc import Iterable\n"
        names = [n for n in ("ClassVar", "Literal") if f"{n}[" in body]
        head += f"from typing import {', '.join(names)}\n\n" if names else ""
        kinds = ("MessageMap", "RepeatedCompositeFieldContainer", "RepeatedScalarFieldContainer", "ScalarMap")
        used = [kind for kind in kinds if f"{kind}[" in body]
        head += f"from google.protobuf.internal.containers import {', '.join(used)}\n" if used else ""
        if "EnumTypeWrapper" in body:
            head += "from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper\n"
        head += "from google.protobuf.message import Message\n\n"
        head += imports + ("from orca.processor._method import Method\n" if "Method[" in body else "")
        return head.rstrip("\n") + "\n" + body

    def _file(self, file: d.FileDescriptorProto) -> str:
        parts = [self._enum(enum, "") for enum in file.enum_type]
        parts += [self._message(message, "") for message in file.message_type]
        for service in file.service:
            methods = "".join(
                f"    {m.name}: ClassVar[Method[{self._name(m.input_type)}, {self._name(m.output_type)}]]\n"
                for m in service.method
            )
            parts.append(f"\nclass {service.name}:\n{methods}")
        return "".join(parts)

    def _enum(self, enum: d.EnumDescriptorProto, indent: str) -> str:
        values = "".join(f"{indent}{v.name}: Literal[{v.number}]\n" for v in enum.value)
        return f"\n{indent}{enum.name}: EnumTypeWrapper\n{values}"

    def _name(self, type_name: str) -> str:
        name = _qualified(type_name, self.module, self.owners)
        if self.owners[type_name] != self.module:
            self.foreign.add(self.owners[type_name])
        return name

    def _scalar(self, field: d.FieldDescriptorProto) -> str:
        if field.type == MESSAGE:
            return self._name(field.type_name)
        return SCALARS.get(field.type, "int")

    def _message(self, message: d.DescriptorProto, indent: str) -> str:
        inner = indent + "    "
        entries = {n.name: n for n in message.nested_type if n.options.map_entry}
        body = [self._enum(enum, inner).lstrip("\n") for enum in message.enum_type]
        body += [self._message(n, inner).lstrip("\n") for n in message.nested_type if n.name not in entries]
        arguments = []
        for field in message.field:
            attribute, argument = self._field(field, entries)
            if (field.type == MESSAGE and field.label != REPEATED) or field.label == REPEATED:
                body.append(f"{inner}@property\n{inner}def {field.name}(self) -> {attribute}: ...\n")
            else:
                body.append(f"{inner}{field.name}: {attribute}\n")
            arguments.append(f"{field.name}: {argument} | None = ...")
        star = ", *, " if arguments else ""
        body.append(f"{inner}def __init__(self{star}{', '.join(arguments)}) -> None: ...\n")
        body += self._presence(message, inner)
        if message.name == "Timestamp":
            body += [
                f"{inner}def FromNanoseconds(self, nanos: int) -> None: ...\n",
                f"{inner}def ToNanoseconds(self) -> int: ...\n",
            ]
        return f"\n{indent}class {message.name}(Message):\n{''.join(body)}"

    def _field(self, field: d.FieldDescriptorProto, entries: dict[str, d.DescriptorProto]) -> tuple[str, str]:
        entry = entries.get(field.type_name.rpartition(".")[2]) if field.type == MESSAGE else None
        if entry is not None:
            key, value = self._scalar(entry.field[0]), self._scalar(entry.field[1])
            kind = "MessageMap" if entry.field[1].type == MESSAGE else "ScalarMap"
            return f"{kind}[{key}, {value}]", f"Mapping[{key}, {value}]"
        scalar = self._scalar(field)
        if field.label != REPEATED:
            return scalar, scalar
        kind = "RepeatedCompositeFieldContainer" if field.type == MESSAGE else "RepeatedScalarFieldContainer"
        return f"{kind}[{scalar}]", f"Iterable[{scalar}]"

    def _presence(self, message: d.DescriptorProto, inner: str) -> Iterator[str]:
        real = [o.name for i, o in enumerate(message.oneof_decl) if not _synthetic(message, i)]
        present = [
            f.name
            for f in message.field
            if f.label != REPEATED and (f.type == MESSAGE or f.HasField("oneof_index") or f.proto3_optional)
        ] + real
        if present:
            names = ", ".join(f'"{name}"' for name in present)
            yield f"{inner}def HasField(self, field_name: Literal[{names}]) -> bool: ...\n"
        if real:
            groups = ", ".join(f'"{name}"' for name in real)
            yield f"{inner}def WhichOneof(self, oneof_group: Literal[{groups}]) -> str | None: ...\n"


def _without_async(source: str) -> str:
    """The same module for ordinary code."""
    body = source[source.index("from __future__") :]
    for old, new in (
        ("async with ", "with "),
        ("async def ", "def "),
        ("async for ", "for "),
        ("await ", ""),
        (":class:`OrcaClient` is for", ":class:`Orca_Client` is for"),
        (":class:`AsyncOrcaClient` for", ":class:`Async_OrcaClient` for"),
        ("AsyncOrcaClient", "OrcaClient"),
        ("Orca_Client", "OrcaClient"),
        ("Async_OrcaClient", "AsyncOrcaClient"),
        ("AsyncCalls", "SyncCalls"),
        ("AsyncIterator", "Iterator"),
        (
            "from collections.abc import Iterator, Iterable, Mapping",
            "from collections.abc import Iterable, Iterator, Mapping",
        ),
    ):
        body = body.replace(old, new)
    title = '"""The client for ordinary code.\n\nWritten by packages/processor/generate.py from '
    return title + '_client_async.py: do not edit.\n"""\n\n' + body


def _synthetic(message: d.DescriptorProto, index: int) -> bool:
    return any(
        f.proto3_optional and f.HasField("oneof_index") and f.oneof_index == index for f in message.field
    )


if __name__ == "__main__":
    sys.exit(main())
