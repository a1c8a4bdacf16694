"""Write everything in this package that is generated; with ``--check``, compare and name what is stale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE: Final = Path(__file__).resolve().parent
ROOT: Final = PACKAGE.parent.parent
SOURCE: Final = PACKAGE / "src" / "orca" / "statemachine"


def grammar() -> str:
    """The grammar that the program reads is a copy of the one in ``grammars/``."""
    return (ROOT / "grammars" / "statemachine.lark").read_text(encoding="utf-8")


TARGETS: Final[dict[Path, Callable[[], str]]] = {
    SOURCE / "grammars" / "statemachine.lark": grammar,
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
