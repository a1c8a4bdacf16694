"""The repository keeps its own rules."""

from __future__ import annotations

import re
import subprocess

import pytest

from workspace_checks import CHECKS, ROOT, toml


@pytest.mark.parametrize("name", CHECKS)
def test_the_repository_has_no_finding(name: str) -> None:
    assert CHECKS[name](ROOT) == []


def test_every_name_on_the_package_index_is_ours() -> None:
    names = {toml(path)["project"]["name"] for path in (ROOT / "packages").glob("*/pyproject.toml")}
    assert names == {
        "orca-common",
        "orca-processor",
        "orca-orchestrator",
        "orca-statemachine",
        "orca-orchestra",
        "orca-toolkit",
        "orca-compat",
    }


def readme_commands() -> list[str]:
    """The commands of the README's ``sh`` blocks: those for a fresh machine."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == [readme_commands()[-1]]


def test_the_session_list_reads_like_a_table_of_contents() -> None:
    listing = subprocess.run(
        ["python", "-m", "nox", "-f", str(ROOT / "noxfile.py"), "-l"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line for line in listing.splitlines() if line[:2] in ("* ", "- ")]
    assert len(rows) > 20
    assert all(" -> " in row for row in rows), "every session says what it does"
    for session in SESSIONS.split():
        assert any(re.match(rf"[*-] {session}\b", row) for row in rows), session


SESSIONS = """
    lint types imports workspace generate property integration docs examples build wheels extras lowest newest
    coverage bench reliability
"""
