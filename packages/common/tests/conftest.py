"""Fixtures for the tests of orca.common."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Helpers that another process imports by name as well.
sys.path.insert(0, str(Path(__file__).parent / "support_common"))

# First calls import heavy libraries, and shared machines stall: time per example says nothing here.
settings.register_profile("common", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("common")


class Install(Protocol):
    def __call__(
        self,
        name: str,
        modules: dict[str, str],
        entries: dict[str, str],
        *,
        group: str = ...,
        version: str = ...,
    ) -> Path: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution into a folder on ``sys.path``, as a wheel would lie there."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def do(
        name: str,
        modules: dict[str, str],
        entries: dict[str, str],
        *,
        group: str = "orca.commands",
        version: str = "1.0",
    ) -> Path:
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        importlib.invalidate_caches()
        return site

    yield do
    for module in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
