"""Write everything in this package that is generated; with ``--check``, compare and name what is stale."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE: Final = Path(__file__).resolve().parent
ROOT: Final = PACKAGE.parent.parent
SOURCE: Final = PACKAGE / "src" / "orca" / "statemachine"
GRAMMARS: Final = ("statemachine.lark", "cells.lark", "durations.lark")


def grammar(name: str) -> str:
    """A grammar that the program reads is a copy of the one in ``grammars/``."""
    return (ROOT / "grammars" / name).read_text(encoding="utf-8")


def diagnostics() -> str:
    """The reference page of every code, with its examples."""
    sys.path[:0] = [str(SOURCE.parent.parent), str(ROOT / "packages" / "common" / "src")]
    from orca.statemachine.catalogue import entries  # noqa: PLC0415 - from this checkout

    parts = [
        "# Diagnostics of the state machine language",
        "Every code with a text that yields it and the same text mended. `orca machine explain CODE` prints the same.",
    ]
    for entry in entries().values():
        fence = "markdown" if entry.failing.startswith("# ") else "text"
        parts += [
            f"## {entry.code}",
            f"{entry.title[0].upper()}{entry.title[1:]}. {entry.text}",
            f"```{fence}\n{entry.failing}```",
            "Mended:",
            f"```{fence}\n{entry.mended}```",
        ]
    return "\n\n".join(parts) + "\n"


TARGETS: Final[dict[Path, Callable[[], str]]] = {
    **{SOURCE / "grammars" / name: partial(grammar, name) for name in GRAMMARS},
    ROOT / "docs" / "reference" / "statemachine-diagnostics.md": diagnostics,
}


def main(arguments: list[str]) -> int:
    """Write or compare; returns the exit code."""
    stale: list[Path] = []
    for path, make in TARGETS.items():
        text = make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    for path in stale:
        verb = "is stale: run packages/statemachine/generate.py" if "--check" in arguments else "written"
        sys.stdout.write(f"{path.relative_to(ROOT)} {verb}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
