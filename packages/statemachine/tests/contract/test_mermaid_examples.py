"""The Mermaid of every machine in the examples, the documentation and the catalogue is rendered by another program."""

from __future__ import annotations

import re
from pathlib import Path

import mmdr
import pytest

from orca.statemachine.catalogue import entries
from orca.statemachine.loading import load
from orca.statemachine.outputs.mermaid import to_mermaid

ROOT = Path(__file__).resolve().parents[4]
QUOTED = re.compile(r'"""(.*?)"""', re.DOTALL)
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
BEGINS = re.compile(r"^(# )?machine \w+", re.MULTILINE)


def texts() -> dict[str, str]:
    """Every machine text of the repository that loads, by where it stands."""
    found: dict[str, str] = {}
    for folder, pattern in (("examples", "*/*.py"), ("docs", "*/statemachine*.md")):
        for path in sorted((ROOT / folder).glob(pattern)):
            text = path.read_text("utf-8")
            for place, part in enumerate([*QUOTED.findall(text), *FENCED.findall(text)]):
                if BEGINS.search(part):
                    found[f"{path.relative_to(ROOT)}:{place}"] = part
    for path in sorted((ROOT / "examples").glob("*/*.orca*")):
        found[str(path.relative_to(ROOT))] = path.read_text("utf-8")
    found |= {f"explain {code}": entry.mended for code, entry in entries().items()}
    return found


TEXTS = texts()


def test_there_are_examples() -> None:
    assert sum(name.startswith("examples") for name in TEXTS) >= 2
    assert len(TEXTS) > 60


@pytest.mark.parametrize("name", TEXTS)
def test_mermaid_is_rendered(name: str) -> None:
    result = load(TEXTS[name], name)
    for machine in result.document.machines if result.ok else ():
        assert "<svg" in mmdr.render(to_mermaid(machine)).svg()
    if result.ok and len(result.document.machines) > 1:
        assert "<svg" in mmdr.render(to_mermaid(*result.document.machines)).svg()
