"""The programs of the processor page run as printed: the processor and the emitter as two processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cores import emit, environment, running, wait_for_port
from programs import run_program

import seeds
from ports import free_port
from scripted_core import ScriptedCore

pytestmark = pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")


def lines(text: str) -> list[str]:
    """Log lines with what differs from run to run replaced."""
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME", text, flags=re.MULTILINE)
    text = re.sub(r"Python \d.*", "Python VERSION", text)
    text = re.sub(r"0\.0\.0\.0:\d+", "ADDRESS", text)
    text = re.sub(r"ExecId: \S+", "ExecId: ID", text)
    text = re.sub(r"time_(from|to)=\d+", r"time_\1=N", text)
    return [line.rstrip() for line in text.splitlines() if line.startswith("TIME")]


def logged(number: int) -> list[str]:
    """The log lines that the page shows in its block with this number among the shell blocks."""
    return lines(seeds.processor_page("bash")[number])


def test_the_page_has_these_programs() -> None:
    define, start, again, emitter, loop = seeds.processor_page()
    assert again.strip() in define
    assert "proc.Register()" in start
    assert "EmitWindow(window)" in emitter
    assert "schedule.every(30).seconds" in loop


def test_the_processor_logs_what_the_page_shows_and_runs(tmp_path: Path) -> None:
    define, start, *_ = seeds.processor_page()
    port = free_port()
    with ScriptedCore() as core:
        env = environment(core.address, port, first=True)
        with running(define + start, tmp_path, env) as log:
            wait_for_port(port, log)
            emit(core)
            result = core.wait(lambda: core.results.get("MyAlgo_1.0.0"))
        (registration,) = core.registrations
    assert result.struct_value["result"] == 42
    assert (registration.name, registration.connection_str) == ("ml", f"127.0.0.1:{port}")
    blocks = list(enumerate(seeds.processor_page("bash")))
    shown, working = (number for number, block in blocks if "Register" in block or "Completed" in block)
    expected = logged(shown) + logged(working)[:3]
    assert [
        line for line in lines(log.read_text()) if "shutdown" not in line and "Draining" not in line
    ] == expected


def test_the_emitter_logs_what_the_page_shows(tmp_path: Path) -> None:
    *_, emitter, _ = seeds.processor_page()
    define = seeds.processor_page()[0]
    port = free_port()
    with ScriptedCore(execute=False) as core:
        env = environment(core.address, port, first=True)
        with running(define + "\nproc.Register()\n", tmp_path, env):
            core.wait(lambda: core.registrations)
        done = run_program(emitter + "\nemitWindow()\n", tmp_path / "emitter", env=env)
        (window,) = core.windows
    assert done.returncode == 0, done.stderr
    assert window.time_to.seconds - window.time_from.seconds == 30
    (number,) = (n for n, block in enumerate(seeds.processor_page("bash")) if "Emitting window" in block)
    assert lines(done.stderr) == logged(number)[:2]


def test_the_loop_of_the_page_emits_every_half_minute(tmp_path: Path) -> None:
    # The page leaves out the import of schedule, and nobody wants to wait for half a minute: the program gets both
    # from outside, a clock that has moved on included, and runs as printed.
    *_, emitter, loop = seeds.processor_page()
    head = """
import datetime, schedule

class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        moved = datetime.datetime.now(tz) + datetime.timedelta(seconds=31 * cls.looks)
        cls.looks += 1
        return moved

Later.looks = 0
schedule.datetime = type("module", (), {"datetime": Later, "timedelta": datetime.timedelta, "time": datetime.time})
"""
    with (
        ScriptedCore() as core,
        running(
            head + emitter + loop,
            tmp_path,
            environment(core.address, free_port(), first=True),
            name="window.py",
        ),
    ):
        core.wait(lambda: len(core.windows) >= 2)
    assert {window.window_type_name for window in core.windows} == {"Every30Second"}
