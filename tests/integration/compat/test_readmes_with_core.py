"""The first program of each published README, with orca-compat in the package's place, against the real core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sdists
import seeds
from local_core import clean_environment, local_core
from orca.processor import OrcaClient, Window
from ports import free_port

WAIT_S = 60.0
VERSIONS = ["0.2.0", "0.7.14", "0.13.0"]


def variables(version: str, core: str, port: int) -> dict[str, str]:
    """What the command line of the README sets, with our addresses in place of its own."""
    own = {"ORCASERVER": core, "ORCA_CORE": core, "HOST": "127.0.0.1", "PROCESSOR_PORT": str(port)}
    printed = seeds.command_variables(sdists.readme("orca-python", version))
    with_port = ":" in printed.get("PROCESSOR_ADDRESS", "")
    own["PROCESSOR_ADDRESS"] = f"127.0.0.1:{port}" if with_port else "127.0.0.1"
    return {name: own[name] for name in printed}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_core(tmp_path_factory.mktemp("core")) as address:
        yield address


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_program_of_a_readme(version: str, core: str, tmp_path: Path) -> None:
    source = seeds.fenced(sdists.readme("orca-python", version), "python")[0]
    # Names of its own for each release: the core waits for processors that have left, and three share it here.
    name, window = (f"{stem}{version.replace('.', '')}" for stem in ("Algo", "Window"))
    program = seeds.indented(source).replace("MyAlgo", name).replace("MyWindow", window)
    program = program.replace('"ml"', f'"ml{version}"')
    (tmp_path / "main.py").write_text(program)
    env = {**clean_environment(), **variables(version, core, free_port())}
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([sys.executable, "main.py"], cwd=tmp_path, env=env, stderr=log)
        try:
            with OrcaClient(core) as client:
                wait_for(client, name, tmp_path / "log")
                at = 1_767_225_600 + 60 * VERSIONS.index(version)
                run = client.wait(
                    client.emit(Window(at, at + 60, window, "1.0.0", "README")), timeout_s=WAIT_S
                )
        finally:
            running.terminate()
            running.wait(30)
    values = {one.name: one.value for one in run.executions}
    assert values[name] == {"result": 42}


def wait_for(client: OrcaClient, algorithm: str, log: Path) -> None:
    """Another process registers: the core is asked until it knows the algorithm."""
    end_s = time.monotonic() + WAIT_S
    while algorithm not in {one.name for spec in client.processors() for one in spec.algorithms}:
        assert time.monotonic() < end_s, log.read_text()
        time.sleep(0.05)
