"""The processor page from beginning to end: the real core, and the processor and the emitter as two processes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import seeds
from local_core import clean_environment, local_core, orca
from orca.processor import OrcaClient
from ports import free_port

pytestmark = pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")

WAIT_S = 90.0


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("core")
    with local_core(folder) as address:
        yield folder, address


def shown_by_status() -> list[str]:
    (block,) = (one for one in seeds.processor_page("bash") if "Redis: running" in one)
    return block.splitlines()[1:]


def test_status_prints_the_lines_of_the_page(core: tuple[Path, str]) -> None:
    folder, address = core
    printed = orca("status", folder=folder).splitlines()
    assert f"Connection string: {address}" in printed
    assert "Orca: running" in printed
    # The same shape: components with connection strings, an empty line, the variables; ours needs no Redis.
    advice = [line for line in shown_by_status() if line.startswith("→")]
    assert advice[0] in printed
    for line in advice[1:]:
        name = line.split("=")[0]
        assert any(one.startswith(f"{name}=") for one in printed), name
    components = [line for line in printed if line.endswith(": running")]
    assert len(components) == 2
    assert [printed[printed.index(line) + 1].split(": ")[0] for line in components] == [
        "Connection string"
    ] * 2


def variables(folder: Path, port: int) -> dict[str, str]:
    """What the page says to copy from ``orca status``, and a port in place of its own, which may be taken."""
    found = re.findall(r"^→\s+(ORCASERVER|HOST)=(\S+)$", orca("status", folder=folder), re.MULTILINE)
    assert len(found) == 2
    return {**clean_environment(), **dict(found), "PORT": str(port), "PYTHONUNBUFFERED": "1"}


def test_the_page_from_beginning_to_end(core: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = core
    define, start, _, emitter, loop = seeds.processor_page()
    (tmp_path / "processor.py").write_text(define + start)
    # The page names the package and leaves out its import.
    (tmp_path / "window.py").write_text("import schedule\n" + emitter + loop)
    env = variables(folder, free_port())
    logs = {name: (tmp_path / f"{name}.log").open("w+") for name in ("processor", "window")}
    running = [
        subprocess.Popen([sys.executable, f"{name}.py"], cwd=tmp_path, env=env, stdout=log, stderr=log)
        for name, log in logs.items()
    ]
    try:
        # The schedule waits its half minute, as the page says: nothing comes sooner.
        with OrcaClient(address) as client:
            result = wait_for_result(client)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        for log in logs.values():
            log.close()
    assert result == {"result": 42}
    processor = (tmp_path / "processor.log").read_text()
    window = (tmp_path / "window.log").read_text()
    for line in (
        "Successfully registered processor",
        "Server is ready for requests",
        "Completed algorithm: MyAlgo",
    ):
        assert f"{line}" in processor, processor
    assert " - orca_python.main - INFO - Emitting window: Window(time_from=" in window
    assert " - orca_python.main - INFO - Window emitted: status: PROCESSING_TRIGGERED" in window


def wait_for_result(client: OrcaClient) -> object:
    end_s = time.monotonic() + WAIT_S
    while True:
        rows = client.results("MyAlgo", "1.0.0")
        if rows:
            return next(iter(rows)).value
        assert time.monotonic() < end_s, "no result came"
        time.sleep(0.5)  # another program emits: there is nothing of ours to wait on
