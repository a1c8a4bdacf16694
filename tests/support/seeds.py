"""The three seed documents, cut into their code blocks, exactly as printed.

The documents lie beside the checkout in ``../shared/seeds``. Two are Markdown with fences; the third is the text of a
web page, in which a block is what stands between two lines of prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "MISSING",
    "MachinePage",
    "command_variables",
    "fenced",
    "indented",
    "machine_page",
    "orchestra_page",
    "processor_page",
]

ROOT = Path(__file__).resolve().parents[2]
SEEDS = ROOT.parent / "shared" / "seeds"
MISSING = not SEEDS.is_dir()
"""Whether this checkout stands alone, so that tests of the documents have nothing to read."""


def _page(prefix: str) -> str:
    (path,) = SEEDS.glob(f"{prefix}_*.txt")
    return path.read_text("utf-8")


def fenced(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_variables(readme: str) -> dict[str, str]:
    """The variables in front of ``python main.py`` on the command line that a README prints."""
    (command,) = (block for block in fenced(readme, "bash") if "python main.py" in block)
    return dict(re.findall(r"([A-Z_]+)=(\S+)", command))


def indented(source: str) -> str:
    """A program with the bodies indented that some READMEs print at the margin."""
    found: list[str] = []
    inside = False
    for line in source.splitlines():
        inside = inside and bool(line.strip())
        found.append(f"    {line}" if inside and not line.startswith(" ") else line)
        inside = inside or bool(re.match(r"(def|if) .*:$", line))
    return "\n".join(found) + "\n"


def processor_page(language: str = "python") -> list[str]:
    """The blocks of the processor page."""
    return fenced(_mended(_page("000")), language)


def orchestra_page(language: str = "python") -> list[str]:
    """The blocks of the task reporting page."""
    return fenced(_page("002"), language)


@dataclass(frozen=True)
class MachinePage:
    """The blocks of the state machine page."""

    quick_start: str
    machine: str
    bus: str
    effects: str
    language: str


def machine_page() -> MachinePage:
    """The blocks of the state machine page."""
    text = _page("001")

    def between(before: str, after: str) -> str:
        return text.split(f"\n{before}\n\n", 1)[1].split(f"\n\n{after}\n", 1)[0] + "\n"

    return MachinePage(
        quick_start=between("Quick Start", "Architecture"),
        machine=between("The main runtime class that executes state machines:", "EventBus"),
        bus=between("Async event bus with pub/sub and request/response:", "Effect Handlers"),
        effects=between("Register async handlers for effect types:", "Orca DSL Syntax"),
        language=between("Orca DSL Syntax", "Hierarchy"),
    )


def _mended(text: str) -> str:
    """The page was saved with UTF-8 read as Windows-1252: its arrows are three characters each."""
    return re.sub("[^\x00-\x7f]+", lambda found: _decoded(found[0]), text)


def _decoded(run: str) -> str:
    try:
        return run.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return run
