"""The page of ``orca machine dev`` in a real browser, while the file is edited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import WAIT_MS, npm_file

ATTACK = "<img src=x onerror=document.title='taken'>"
GAME = f"""machine Game
context {{ health: int = 100, title: string = "{ATTACK}" }}
events {{ attack, rest }}
state idle [initial] {{
  description: "{ATTACK}"
  timeout: 5m -> over
}}
state combat {{
  state fighting [initial]
  state resting
}}
state over [final]
transitions {{
  idle + attack -> combat
  combat.fighting + rest [event.minutes > 5] -> combat.resting
  combat + attack [health <= 0] -> over
}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "game.orca"
    path.write_text(GAME)
    return path


def change(path: Path, text: str) -> None:
    """Write a file so that its time differs however coarse the clock of its disk is."""
    then = path.stat().st_mtime_ns + 1_000_000_000
    path.write_text(text)
    os.utime(path, ns=(then, then))


@pytest.fixture
def program(file: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen(
        ["orca", "machine", "dev", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.stdout.readline().split()[1], process
        process.kill()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()
    # What the browser says of requests that the server refused, or of a server that is gone, is meant.
    assert [text for text in faults if not text.startswith("Failed to load resource")] == []


def press(page: Any, event: str) -> None:
    page.locator(f"#choices button[data-event='{event}']").click()


def way(page: Any) -> list[str]:
    return page.locator("#frames li > b").all_inner_texts()


def test_a_machine_is_played_while_its_file_is_edited(page: Any, program: Any, file: Path) -> None:
    url, process = program
    page.goto(url)
    page.get_by_text("in idle", exact=True).wait_for()
    assert page.locator("#choices button").first.inner_text().split("\n") == ["5m pass in idle", "→ over"]
    press(page, "attack")
    page.get_by_text("in combat.fighting", exact=True).wait_for()
    assert "active: combat.fighting" in page.locator("#picture").get_attribute("alt")
    page.locator("#picture").evaluate("picture => picture.decode()")
    # What a guard asks of the event comes from the payload.
    assert "a guard does not hold" in page.locator("button[data-event='rest']").inner_text()
    page.get_by_label("Payload").fill('{"minutes": ')
    press(page, "rest")
    page.get_by_text("The payload is no JSON").wait_for()
    page.get_by_label("Payload").fill('{"minutes": 9}')
    press(page, "rest")
    page.get_by_text("in combat.resting", exact=True).wait_for()
    assert way(page) == ["rest", "attack", "start"]
    page.get_by_role("button", name="Back").click()
    page.get_by_text("in combat.fighting", exact=True).wait_for()
    # What an action would do to the context is done by hand.
    page.get_by_label("health").fill("-1")
    page.get_by_label("health").press("Enter")
    page.locator("button[data-event='attack']", has_text="→ over").wait_for()
    with page.expect_download() as download:
        page.get_by_text("Save the trace").click()
    trace = Path(download.value.path())
    assert json.loads(trace.read_text())["steps"][0]["event"] == "attack"
    press(page, "attack")
    page.get_by_text("The machine is done.").wait_for()
    # An error in the file leaves the run as it is, and the mended file goes the same way again.
    change(file, GAME.replace("] -> over", "] -> ovr"))
    page.get_by_text("The file has errors").wait_for()
    page.get_by_text("did you mean `over`?").first.wait_for()
    change(file, GAME.replace("idle + attack -> combat", "idle + attack -> combat.resting"))
    page.get_by_text("before the change it ended elsewhere").first.wait_for()
    assert way(page) == ["attack", "attack", "start"]
    assert page.locator("img").count() == 1
    assert page.title() == "Game · orca machine dev"
    process.send_signal(signal.SIGINT)
    page.get_by_text("The simulator has ended").wait_for()
    assert process.wait(60) == 0


def test_a_saved_trace_is_played_by_the_simulator(page: Any, program: Any, file: Path) -> None:
    url, _ = program
    page.goto(url)
    page.get_by_text("in idle", exact=True).wait_for()
    press(page, "attack")
    page.get_by_text("in combat.fighting", exact=True).wait_for()
    with page.expect_download() as download:
        page.get_by_text("Save the trace").click()
    command = ["orca", "machine", "simulate", str(file), "--trace", str(download.value.path())]
    played = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (played.returncode, played.stderr) == (0, "")
    assert played.stdout.splitlines()[-1].split() == ["attack", "taken", "combat.fighting"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_phone(program: Any, chromium: Any, scheme: str) -> None:
    url, _ = program
    # axe is a script of its own
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, color_scheme=scheme, bypass_csp=True
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(url)
    page.get_by_text("in idle", exact=True).wait_for()
    press(page, "attack")
    page.get_by_text("in combat.fighting", exact=True).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate(npm_file("axe-core", "axe.min.js").read_text("utf-8"))
    assert page.evaluate("axe.run(document)")["violations"] == []
    context.close()
