"""Files, folders and standard input as texts; findings as output."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from orca.statemachine.diagnostics import Diagnostic
    from orca.statemachine.loading import LoadResult, Notation
    from orca.statemachine.model import MachineDef

__all__ = ["Input", "find_files", "one_input", "one_machine", "print_findings", "read_inputs", "summary"]

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


def one_input(path: Path | None) -> Input:
    """The text of a file, or of standard input.

    Raises:
        UsageError: There is no such file, or a folder holds none.
    """
    found = next(read_inputs([path] if path is not None else None), None)
    if found is None:
        raise UsageError(f"there is no .orca or .orca.md file in {path}")
    return found


def one_machine(path: Path | None, name: str | None = None) -> MachineDef:
    """The machine of a file or of standard input, by name or the first one.

    Raises:
        ParseError: The text has errors.
        UsageError: There is no such file or machine.
    """
    from orca.statemachine.loading import parse_document  # noqa: PLC0415

    item = one_input(path)
    document = parse_document(item.text, item.name, notation=item.notation)
    names = ", ".join(machine.name for machine in document.machines)
    if not document.machines:
        raise UsageError(f"there is no machine in {item.name}")
    if name is None:
        return document.machines[0]
    found = document.machine(name)
    if found is None:
        raise UsageError(f"there is no machine `{name}` in {item.name}", hint=f"it has {names}")
    return found
