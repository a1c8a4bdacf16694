"""Where the browser of these tests comes from: every way is taken, none is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chromium

PAGE = "data:text/html,<title>here</title><p>a page</p>"
# In a process of its own: this one may have a browser of the other tests.
LOOK = """
import sys
from chromium import browser
with browser(sys.argv[1], **dict(pair.split("=") for pair in sys.argv[3:])) as started:
    page = started.new_page()
    page.goto(sys.argv[2])
    print(started.version, page.title(), page.inner_text("p"))
"""


def looked(binary: str, *variables: str) -> str:
    """What a browser says of a page."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, binary, PAGE, *variables],
        cwd=Path(chromium.__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.strip()


def test_the_npm_package_brings_a_browser_that_starts_also_with_its_own_libraries(tmp_path: Path) -> None:
    binary = chromium.from_npm(tmp_path)
    assert Path(binary).is_relative_to(tmp_path)
    assert looked(binary).endswith("here a page")
    own = tmp_path / "unpacked" / "al2023" / "lib"
    assert list(own.glob("libnss3.so*")), "what a bare machine lacks"
    assert looked(binary, f"LD_LIBRARY_PATH={own}").endswith("here a page")
    stamp = Path(binary).stat().st_mtime_ns
    assert chromium.from_npm(tmp_path) == binary
    assert Path(binary).stat().st_mtime_ns == stamp, "it is brought once"


def test_debians_package_is_installed_where_that_is_allowed() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with chromium.alone():
            binary = chromium.from_apt()
        assert looked(binary).endswith("here a page")
    else:
        with pytest.raises(RuntimeError, match="needs root"):
            chromium.from_apt()


def test_an_installed_browser_comes_first_then_apt_then_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "INSTALLED", ("no-such-browser",))
    taken: list[str] = []

    def refused(name: str) -> str:
        taken.append(name)
        raise RuntimeError(f"{name} has none")

    monkeypatch.setattr(chromium, "from_apt", lambda: refused("apt"))
    monkeypatch.setattr(chromium, "from_npm", lambda: refused("npm"))
    with pytest.raises(RuntimeError, match=r"apt has none.*npm has none"):
        chromium.chromium_path()
    assert taken == ["apt", "npm"]
    monkeypatch.setattr(chromium, "INSTALLED", ("sh",))
    assert chromium.chromium_path() == shutil.which("sh")
