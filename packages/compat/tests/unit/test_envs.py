"""The settings module of orca_python: read when asked, in the words of every release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orca_python import envs
from orca_python.exceptions import BadEnvVar, MissingDependency, MissingEnvVar

NAMES = ("ORCA_CORE", "ORCASERVER", "HOST", "PORT", "PROCESSOR_ADDRESS", "PROCESSOR_EXTERNAL_PORT", "ENV")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_is_set() -> None:
    assert envs.getenvs() == (False, "", "", None, None)
    assert (envs.ORCASERVER, envs.ORCA_CORE, envs.PORT, envs.PROJECT_NAME) == ("", "", "", "")
    assert (envs.hasConfig, envs.is_production) == (False, False)
    with pytest.raises(AttributeError, match="no attribute 'NOTHING'"):
        _ = envs.NOTHING


def test_the_first_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCASERVER", "grpc://core:32770")
    monkeypatch.setenv("HOST", "172.18.0.1")
    monkeypatch.setenv("PORT", "50505")
    assert (envs.ORCASERVER, envs.HOST, envs.PORT) == ("core:32770", "172.18.0.1", "50505")


def test_the_later_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCA_CORE", "grpc://core:32770")
    monkeypatch.setenv("PROCESSOR_ADDRESS", "10.0.0.1:8080")
    monkeypatch.setenv("PROCESSOR_EXTERNAL_PORT", "443")
    monkeypatch.setenv("ENV", "production")
    assert envs.getenvs(strict=True) == (True, "core:32770", "10.0.0.1", 8080, 443)
    assert (envs.PROCESSOR_HOST, envs.PROCESSOR_PORT, envs.PROCESSOR_EXTERNAL_PORT) == ("10.0.0.1", 8080, 443)
    assert envs.is_production


def test_what_is_missing_and_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingEnvVar, match="ORCA_CORE is required"):
        envs.getenvs(strict=True)
    monkeypatch.setenv("ORCA_CORE", "core:1")
    with pytest.raises(MissingDependency, match="PROCESSOR_ADDRESS is required"):
        envs.getenvs(strict=True)
    monkeypatch.setenv("PROCESSOR_ADDRESS", "no address")
    with pytest.raises(BadEnvVar):
        envs.getenvs()


def test_the_file(tmp_path: Path) -> None:
    content = {
        "projectName": "weather",
        "orcaConnectionString": "core:1",
        "processorPort": 5,
        "processorConnectionString": "me:6",
    }
    (tmp_path / "orca.json").write_text(json.dumps(content))
    assert (envs.hasConfig, envs.PROJECT_NAME, envs.ORCA_CORE) == (True, "weather", "core:1")
    assert (envs.PROCESSOR_HOST, envs.PROCESSOR_PORT, envs.PROCESSOR_EXTERNAL_PORT) == ("me", 5, 6)
