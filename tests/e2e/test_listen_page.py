"""The page of ``orchestra listen`` in a real browser, fed by real programs over the real webhook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chromium import WAIT_MS, npm_file

ORCHESTRA = (sys.executable, "-m", "orchestra.sdk.cli")
ATTACK = "<img src=x onerror=document.title='taken'>"
JOB = f"""
import sys
from orchestra.sdk import OrchestraSDK
sdk = OrchestraSDK(capture=True)
@sdk.run
def load():
    print("reading rows")
    sdk.set_output("rows", [1, 2, {ATTACK!r}])
    sdk.update_task(message={ATTACK!r})
    if sys.argv[1] == "bad":
        raise ValueError("no such table")
load()
sdk.set_output("too_late", 1)
"""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [*ORCHESTRA, "listen", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[2], process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("console", lambda said: opened.faults.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()


def report(url: str, folder: Path, run: str, *arguments: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRA_")}
    env |= {
        "ORCHESTRA_WEBHOOK_URL": url,
        "ORCHESTRA_API_KEY": "local",
        "ORCHESTRA_TASK_RUN_ID": run,
        "ORCHESTRA_SPOOL_DIR": str(folder / "spool"),
    }
    subprocess.run(
        [sys.executable, "-c", JOB, *arguments], env=env, check=False, capture_output=True, timeout=120
    )


def test_task_runs_appear_as_they_happen(listening: Any, page: Any, tmp_path: Path) -> None:
    url, _ = listening
    page.goto(url)
    page.get_by_text("No event has come in yet").wait_for()
    assert f"export ORCHESTRA_WEBHOOK_URL={url}" in page.locator("#how").inner_text()
    good, bad = str(uuid4()), str(uuid4())
    report(url, tmp_path, good, "good")
    # Nothing is reloaded: the page asks for what is new.
    page.locator("article", has_text=good).get_by_text("SUCCEEDED").first.wait_for()
    assert page.locator("#empty").is_hidden()
    report(url, tmp_path, bad, "bad")
    first = page.locator("article").first
    first.get_by_text(bad).wait_for()
    first.get_by_text("load failed. Error: ValueError: no such table").wait_for()
    assert first.locator("h2 .status").inner_text() == "FAILED"
    kinds = first.locator("li .kind").all_inner_texts()
    assert kinds == ["RUNNING", "output", "message", "log", "FAILED"]
    # A failed run shows its log at once, another one when asked.
    assert "reading rows" in first.locator("pre").inner_text()
    other = page.locator("article", has_text=good)
    assert not other.locator("pre").is_visible()
    other.locator("summary").click()
    assert "reading rows" in other.locator("pre").inner_text()
    assert "2 task runs" in page.locator("#facts").inner_text()
    assert page.faults == []


def test_what_came_over_the_wire_is_text_and_late_events_say_so(
    listening: Any, page: Any, tmp_path: Path
) -> None:
    url, _ = listening
    run = str(uuid4())
    report(url, tmp_path, run, "good")
    page.goto(url)
    card = page.locator("article", has_text=run)
    card.get_by_text("too_late = 1").wait_for()
    assert "after the terminal status" in card.locator("li.late .text").inner_text()
    assert card.locator("h2 .status").inner_text() == "SUCCEEDED"
    assert ATTACK in card.inner_text()
    assert page.locator("img").count() == 0
    assert page.title() == "orchestra listen"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    page.evaluate("headers => fetch('/', {method: 'POST', headers, body: '{}'})", headers)
    page.locator("#faultlist li").first.wait_for()
    assert "event_type" in page.locator("#faultlist").inner_text()


def test_the_page_says_when_the_server_is_gone(listening: Any, page: Any) -> None:
    url, process = listening
    page.goto(url)
    page.get_by_text("No event has come in yet").wait_for()
    process.send_signal(signal.SIGINT)
    process.wait(60)
    page.get_by_text("not reachable; trying again").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_phone(
    listening: Any, chromium: Any, scheme: str, tmp_path: Path
) -> None:
    url, _ = listening
    report(url, tmp_path, str(uuid4()), "bad")
    report(url, tmp_path, str(uuid4()), "good")
    context = chromium.new_context(
        viewport={"width": 360, "height": 740}, color_scheme=scheme, bypass_csp=True
    )  # axe is a script of its own
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(url)
    page.locator("article").nth(1).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate(npm_file("axe-core", "axe.min.js").read_text("utf-8"))
    assert page.evaluate("axe.run(document)")["violations"] == []
    page.screenshot(path=str(tmp_path / f"listen-{scheme}.png"), full_page=True)
    context.close()
