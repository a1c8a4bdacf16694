"""Every public name of every published generation, with its parameters and defaults, against this package.

The names are read from the published releases in environments of their own. What differs must stand in the table of
the page on moving from that package, and nothing may stand there that does not differ.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from programs import clean_environment
from signatures import difference

from published import published_python

ROOT = Path(__file__).resolve().parents[4]
DUMP = Path(__file__).resolve().parents[1] / "support_compat" / "names_dump.py"
RELEASES = [
    ("orca-python", "0.2.0"),
    ("orca-python", "0.5.0"),
    ("orca-python", "0.7.14"),
    ("orca-python", "0.9.0"),
    ("orca-python", "0.11.0"),
    ("orca-python", "0.13.0"),
    ("orca-runtime-python", "0.1.0"),
    ("orca-runtime-python", "0.1.13"),
    ("orca-runtime-python", "0.1.27"),
    ("orca-runtime-python", "0.1.30"),
    ("orchestra-sdk", "0.0.16"),
    ("orchestra-sdk", "0.0.21"),
    ("orchestra-sdk", "0.1.2"),
    ("orchestra-sdk", "0.2.0"),
]
DISTRIBUTIONS = sorted({name for name, _ in RELEASES})
# The published releases read these at import and stop without them.
VARIABLES = {
    "ORCASERVER": "127.0.0.1:1",
    "HOST": "127.0.0.1",
    "PORT": "50505",
    "ORCA_CORE": "grpc://127.0.0.1:1",
    "PROCESSOR_ADDRESS": "127.0.0.1:50505",
    "PROCESSOR_HOST": "127.0.0.1",
    "PROCESSOR_PORT": "50505",
    "PROCESSOR_EXTERNAL_PORT": "50505",
}


def run(python: Path | str, *arguments: str, text: str = "", **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), str(DUMP), *arguments],
        input=text,
        capture_output=True,
        text=True,
        env={**clean_environment(python), **variables},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@lru_cache
def differences(name: str, version: str) -> dict[str, str]:
    """What differs, by the published name; the members of a class that is not here are left out."""
    more = ("setuptools<81",) if name == "orca-python" else ()
    there = run(published_python(f"{name}=={version}", *more), "dump", name.replace("-", "_"), **VARIABLES)
    assert len(there) > 30, "the release's names were read"
    here = run(sys.executable, "ask", text=json.dumps(list(there)), **VARIABLES)
    found = {one: difference(what, here.get(one)) for one, what in there.items()}
    gone = {one for one, text in found.items() if text == "is not here"}
    return {one: text for one, text in found.items() if text and one.rpartition(".")[0] not in gone}


def listed(name: str) -> set[str]:
    """The names in the first column of the page's table."""
    page = (ROOT / "docs" / "howto" / f"migrate-{name}.md").read_text("utf-8")
    section = page.split("## Names and parameters that differ\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {f"{name.replace('-', '_')}.{one}" for row in rows for one in re.findall(r"`([\w.]+)`", row)}


@pytest.mark.parametrize(("name", "version"), RELEASES)
def test_a_name_that_differs_stands_on_the_page(name: str, version: str) -> None:
    found = differences(name, version)
    assert {one: text for one, text in found.items() if one not in listed(name)} == {}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_nothing_stands_there_that_does_not_differ(name: str) -> None:
    found = {one for other, version in RELEASES if other == name for one in differences(other, version)}
    assert listed(name) - found == set()
