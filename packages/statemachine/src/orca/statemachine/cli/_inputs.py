"""Files, folders and standard input as texts; findings as output."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from orca.statemachine.diagnostics import Diagnostic
    from orca.statemachine.loading import LoadResult, Notation
    from orca.statemachine.model import MachineDef

__all__ = [
    "Input",
    "Made",
    "find_files",
    "machines_of",
    "one_machine",
    "print_findings",
    "read_inputs",
    "summary",
    "write_each",
]

SUFFIXES: Final = (".orca", ".orca.md")
MAX_FILE_SIZE: Final = 16_000_000
"""Bytes of one file: no text that may be parsed is longer, and no accident fills the memory."""


@dataclass(frozen=True, slots=True)
class Input:
    """A text and where it comes from; standard input has no path."""

    name: str
    text: str
    path: Path | None

    @property
    def notation(self) -> Notation | None:
        """What the name says about the notation."""
        if self.path is None:
            return None
        return (
            "markdown" if self.path.name.endswith(".md") else "brace" if self.path.suffix == ".orca" else None
        )


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that the paths stand for: folders are searched for `.orca` and `.orca.md`.

    Raises:
        UsageError: A path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(
                item for item in path.rglob("*") if item.name.endswith(SUFFIXES) and item.is_file()
            )
        elif path.exists():
            yield path
        else:
            raise UsageError(f"there is no file or folder {path}")


def read_inputs(paths: Sequence[Path] | None) -> Iterator[Input]:
    """The texts of files and folders; of standard input for ``-`` and when no path is given.

    Raises:
        UsageError: A path does not exist.
        OrcaError: A file cannot be read.
    """
    if not paths or list(map(str, paths)) == ["-"]:
        yield Input("<stdin>", sys.stdin.read(), None)
        return
    for path in find_files(paths):
        yield Input(str(path), _read(path), path)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            raise OrcaError(f"{path} is larger than {MAX_FILE_SIZE} bytes")
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OrcaError(f"{path} cannot be read: {error}") from error


def print_findings(result: LoadResult, findings: Iterable[Diagnostic]) -> None:
    """Print findings with their source lines, in colour where somebody sees it."""
    from orca.common.terminal import use_color  # noqa: PLC0415
    from orca.statemachine.diagnostics import render  # noqa: PLC0415

    colors = (
        {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "info": "\x1b[1;36m"}
        if use_color(sys.stdout)
        else {}
    )
    for item in findings:
        text = render(item, result.source)
        head, _, rest = text.partition("\n")
        color = colors.get(item.severity, "")
        sys.stdout.write(f"{color}{head}{chr(27) + '[0m' if color else ''}\n{rest}\n\n")


def summary(files: int, findings: Sequence[Diagnostic]) -> str:
    """One line that counts."""
    errors = sum(1 for item in findings if item.severity == "error")
    warnings = sum(1 for item in findings if item.severity == "warning")
    return ", ".join((_count(files, "file"), _count(errors, "error"), _count(warnings, "warning")))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Made(NamedTuple):
    """One text made from an input.

    Attributes:
        text: The text.
        ending: Of its file.
        machine: Of several machines in the input, the one that it shows; empty when it shows all.
    """

    text: str
    ending: str
    machine: str = ""


def write_each(
    paths: Sequence[Path] | None, output: Path | None, make: Callable[[Input], Sequence[Made]]
) -> int:
    """Make texts from every input: one goes to ``output`` or standard output, several into the folder ``output``.

    Args:
        paths: Files and folders; standard input when there are none.
        output: The file for the only text, or an existing folder, which keeps the folders of the inputs.
        make: Gives the texts; none for an input that has nothing of the kind.

    Returns:
        The exit code: 1 when one of several inputs has errors, which are printed, and the others were written.

    Raises:
        ParseError: The only input has errors.
        UsageError: A path does not exist, or several texts have no folder to go to.
    """
    from orca.statemachine.diagnostics import ParseError  # noqa: PLC0415
    from orca.statemachine.loading import load  # noqa: PLC0415

    inputs = list(read_inputs(paths))
    if not inputs:
        raise UsageError(f"there is no .orca or .orca.md file in {', '.join(map(str, paths or ()))}")
    folder = output if output is not None and output.is_dir() else None
    if len(inputs) > 1 and folder is None:
        raise UsageError(f"{len(inputs)} files need a folder to go to", hint="-o FOLDER, which exists")
    code = 0
    for item in inputs:
        try:
            made = make(item)
        except ParseError as error:
            if len(inputs) == 1:
                raise
            code = 1
            result = load(item.text, item.name, notation=item.notation)
            print_findings(result, [each for each in error.diagnostics if each.severity == "error"])
            continue
        if not made:
            sys.stderr.write(f"{item.name} has nothing of the kind\n")
        elif len(made) > 1 and folder is None:
            names = ", ".join(one.machine for one in made)
            raise UsageError(
                f"{item.name} has {len(made)} machines: {names}",
                hint=f"-m {made[0].machine} for one of them, or -o FOLDER, which exists, for a file each",
            )
        for one in made:
            text = one.text if one.text.endswith("\n") else f"{one.text}\n"
            if output is None:
                sys.stdout.write(text)
                continue
            part = f".{one.machine}" if len(made) > 1 else ""
            target = output if folder is None else folder / _below(item, paths or (), f"{part}{one.ending}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode("utf-8"))
    return code


def _below(item: Input, paths: Sequence[Path], ending: str) -> Path:
    """Where a text goes inside of a folder: as its source lies in the folder that was given."""
    if item.path is None:
        return Path(f"stdin{ending}")
    root = next(
        (path for path in paths if path.is_dir() and item.path.is_relative_to(path)), item.path.parent
    )
    place = item.path.relative_to(root)
    stem = place.name.removesuffix(".md").removesuffix(".orca")
    return place.with_name(f"{stem}{ending}")


def machines_of(item: Input, name: str | None, *, may_lack: bool) -> Sequence[MachineDef]:
    """The machines of one input, or the one with a name; none when it ``may_lack`` it.

    Raises:
        ParseError: The text has errors.
        UsageError: There is no such machine, and it may not lack.
    """
    from orca.statemachine.loading import parse_document  # noqa: PLC0415

    machines = parse_document(item.text, item.name, notation=item.notation).machines
    found = [machine for machine in machines if name in {None, machine.name}]
    if not found and not may_lack:
        names = ", ".join(machine.name for machine in machines) or "none"
        raise UsageError(f"there is no machine `{name or ''}` in {item.name}", hint=f"it has {names}")
    return found


def one_machine(path: Path | None, name: str | None = None) -> MachineDef:
    """The machine of a file, a folder or standard input: by name, or the first one of the only file.

    Raises:
        ParseError: The text has errors.
        UsageError: There is no such file or machine, or a folder has several files and no name was given.
    """
    from orca.statemachine.loading import parse_document  # noqa: PLC0415

    inputs = list(read_inputs([path] if path is not None else None))
    where = str(path) if path is not None and path.is_dir() else ", ".join(item.name for item in inputs)
    found = {
        machine.name: machine
        for item in inputs
        for machine in parse_document(item.text, item.name, notation=item.notation).machines
    }
    names = ", ".join(found)
    if not inputs:
        raise UsageError(f"there is no .orca or .orca.md file in {path}")
    if not found:
        raise UsageError(f"there is no machine in {where}")
    if name is None and len(inputs) > 1:
        raise UsageError(
            f"{where} has {len(inputs)} files: say which machine", hint=f"-m {' | '.join(found)}"
        )
    if name is not None and name not in found:
        raise UsageError(f"there is no machine `{name}` in {where}", hint=f"it has {names}")
    return next(iter(found.values())) if name is None else found[name]
