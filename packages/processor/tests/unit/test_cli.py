from __future__ import annotations

import ast
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from query_answers import run_detail

from orca.common import cli as dispatcher
from orca.common.errors import UsageError
from orca.processor import MetadataField, Processor, RemoteStub, WindowType, cli, convert, wire
from orca.processor.specs import AlgorithmSpec, ProcessorSpec
from orca.processor.stubs import identifier, render
from orca.processor.testing import make_window, record
from scripted_core import ScriptedCore, scripted_core


@pytest.fixture
def orca(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in ("ORCA_CORE", "ORCASERVER"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = dispatcher.main(list(arguments))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def core() -> Iterator[ScriptedCore]:
    with scripted_core() as running:
        yield running


def test_init_makes_a_project_that_runs(orca: Any, tmp_path: Path) -> None:
    assert orca("init", "demo")[:2] == (
        0,
        (
            "made .gitignore, orca.json, processor.py, test_processor.py in demo\n"
            "next: cd demo && orca run processor.py --last 30s\n"
        ),
    )
    assert json.loads((tmp_path / "demo" / "orca.json").read_text()) == {"projectName": "demo"}
    code, out, _ = orca(
        "run",
        "demo/processor.py",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-01T00:00:30Z",
        "--meta",
        "asset_id=5",
    )
    assert code == 0
    assert out == (
        "Every30Second_1.0.0 2026-01-01T00:00:00+00:00 -> 2026-01-01T00:00:30+00:00 asset_id=5\n"
        "   ok    Mean_1.0.0   20.5\n"
        '   ok    Alarm_1.0.0  {"above": 0.5}\n'
    )
    code, out, _ = orca("algos", "demo/processor.py")
    assert out.splitlines()[1] == "demo: Alarm_1.0.0 <- Mean_1.0.0  window Every30Second_1.0.0  struct"
    rows = json.loads(orca("--json", "algos", "demo/processor.py")[1])
    assert rows[0]["description"] == "The mean temperature of the window."
    assert json.loads(orca("algos", "demo/processor.py", "--json")[1]) == rows
    code, _, err = orca("init", "demo")
    assert (code, "nothing was written" in err) == (2, True)


FAILING = """
from orca.processor import Processor
proc = Processor("bad")
@proc.algorithm("Alarm", "1.0.0", "Every30Second", "1.0.0")
def alarm() -> float:
    raise KeyError("threshold")
@proc.algorithm("After", "1.0.0", "Every30Second", "1.0.0", ["Alarm_1.0.0"])
def after() -> float:
    return 1.0
"""


def test_run_shows_the_users_frame_and_ends_with_1(orca: Any, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(FAILING)
    code, out, _ = orca("run", "bad.py", "--window", "Every30Second")
    assert code == 1
    assert "fail  Alarm_1.0.0  'threshold'" in out
    assert "bad.py:6 in alarm" in out
    assert '> raise KeyError("threshold")' in out
    assert "skip  After_1.0.0  Alarm_1.0.0 failed" in out
    record(tmp_path / "windows.jsonl", [make_window("Every30Second", asset_id=i) for i in range(3)])
    rows = json.loads(orca("--json", "run", "bad.py", "--recorded", "windows.jsonl", "--only", "Alarm")[1])
    assert [row["metadata"] for row in rows] == [{"asset_id": 0}, {"asset_id": 1}, {"asset_id": 2}]
    assert list(rows[0]["results"]) == ["Alarm_1.0.0"]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no file"), ("1 / 0", "ZeroDivisionError"), ("x = 1", "makes no Processor")]
)
def test_files_without_a_processor(orca: Any, tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "f.py").write_text(content)
    code, _, err = orca("run", "f.py")
    assert (code, words in err) == (2, True)


def test_emit_one_and_wait(orca: Any, core: ScriptedCore) -> None:
    core.answers["WatchRun"] = lambda request, context: [run_detail("failed")]
    code, out, _ = orca(
        "emit",
        "Every30Second_2.0.0",
        "--last",
        "30s",
        "--meta",
        "asset_id=1",
        "--meta",
        "site=north",
        "--core",
        core.address,
        "--wait",
    )
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "#1 PROCESSING_TRIGGERED"
    assert "ok    Mean_1.0.0     500 ms  16777217.0" in lines[1]
    assert "fail  Alarm_1.0.0" in lines[2]
    assert lines[2].endswith("boom")
    window = convert.window_from_wire(core.windows[0])
    assert (window.version, window.metadata, window.duration_s) == (
        "2.0.0",
        {"asset_id": 1, "site": "north"},
        30,
    )
    assert abs(window.to_ns / 1e9 - time.time()) < 60
    found = json.loads(orca("--json", "emit", "Every30Second", "--last", "1m", "--core", core.address)[1])
    assert found["emitted"][0]["window_id"] == 2


def test_emit_says_when_nothing_waits_for_the_window(orca: Any, core: ScriptedCore) -> None:
    proc = Processor("ml")
    proc.algorithm("Mean", "1.0.0", "Every30Second", "1.0.0")(lambda: {"mean": 1.0})
    proc.check()
    known = convert.processor_to_wire(proc.spec("127.0.0.1:1"))
    core.answers["EmitWindow"] = lambda request, context: wire.WindowEmitStatus(status=1)
    core.answers["Expose"] = lambda request, context: wire.InternalState(processors=[known])
    call = ("emit", "Every30Secnd", "--last", "30s", "--core", core.address)
    code, out, err = orca(*call, "--wait")
    assert (code, out) == (1, "NO_TRIGGERED_ALGORITHMS\n")
    assert "no algorithm is triggered by Every30Secnd_1.0.0; did you mean Every30Second_1.0.0?" in err
    assert orca(*call)[0] == 0


def test_emit_a_back_fill(orca: Any, core: ScriptedCore) -> None:
    from query_answers import emit_many

    core.answers["EmitMany"] = emit_many
    code, out, _ = orca(
        "emit",
        "Every30Second",
        "--from",
        "2026-01-01T00:00:00Z",
        "--to",
        "2026-01-02T00:00:00Z",
        "--every",
        "30s",
        "--core",
        core.address,
    )
    assert (code, out) == (0, "2,880 windows, 0 known already\n")
    assert core.calls == ["EmitMany"] * 3


def test_emit_without_a_core_ends_with_usage_or_3(orca: Any) -> None:
    code, _, err = orca("emit", "Every30Second", "--last", "30s")
    assert (code, "orca start" in err) == (2, True)
    code, _, err = orca("emit", "Every30Second", "--last", "30s", "--core", "127.0.0.1:1")
    assert (code, "Core not reachable at grpc://127.0.0.1:1 (connection refused)." in err) == (3, True)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--last", "soon"],
        ["--last", "30s", "--from", "2026-01-01"],
        ["--from", "2026-01-02", "--to", "2026-01-01"],
        ["--from", "then"],
        ["--last", "1d", "--every", "0s"],
        ["--last", "1d", "--every", "1ms"],
        ["--last", "1d", "--meta", "novalue"],
    ],
)
def test_options_that_do_not_fit(orca: Any, options: list[str]) -> None:
    assert orca("emit", "W", "--core", "127.0.0.1:1", *options)[0] == 2


def test_durations_and_times() -> None:
    assert [cli.parse_duration(text) for text in ("500ms", "1h30m", "2d", "7", "1.5s")] == [
        0.5,
        5400,
        172_800,
        7,
        1.5,
    ]
    assert cli.parse_time("1747582274") == 1747582274
    assert cli.parse_time("2026-01-01T00:00:00+00:00") == 1767225600
    assert abs(cli.parse_time("now") - time.time()) < 60
    with pytest.raises(UsageError):
        cli.parse_duration("")


ODD = ProcessorSpec(
    'evil"""\nimport os',
    "3.11\n",
    "a:1",
    (
        AlgorithmSpec(
            "Mean",
            "1.0.0",
            WindowType(
                "Every30Second",
                "1.0.0",
                'half"',
                (MetadataField("asset-id", "which"), MetadataField("class", "c")),
            ),
            description="x",
        ),
        AlgorithmSpec("Mean", "1.10.0", WindowType("Every30Second", "1.0.0", 'half"'), description="x"),
        AlgorithmSpec("Mean", "1.9.0", WindowType("Other", "1.0.0"), description="x"),
    ),
)


def test_sync_writes_importable_deterministic_stubs(orca: Any, core: ScriptedCore, tmp_path: Path) -> None:
    core.registrations.append(convert.processor_to_wire(ODD))
    code, out, _ = orca("sync", "-out", "registry", "-connStr", core.address, "-projectName", "mine")
    assert (code, out) == (0, "registry: 3 algorithms of 1 processors, 4 files changed\n")
    assert "0 files changed" in orca("sync", "-out", "registry", "-connStr", core.address)[1]
    spec = importlib.util.spec_from_file_location(
        "registry_x",
        tmp_path / "registry" / "__init__.py",
        submodule_search_locations=[str(tmp_path / "registry")],
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["registry_x"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    algorithms = importlib.import_module("registry_x.algorithms")
    assert isinstance(algorithms.Mean, RemoteStub)
    assert algorithms.Mean.__orca_metadata__["Version"] == "1.10.0"
    assert algorithms.Mean_1_0_0.__orca_metadata__["ProcessorName"] == 'evil"""\nimport os'
    with pytest.raises(NotImplementedError):
        algorithms.Mean()
    types = importlib.import_module("registry_x.window_types")
    assert types.Every30Second.description == 'half"'
    assert importlib.import_module("registry_x.metadata_fields").class_.name == "class"
    assert repr(algorithms.Mean) == "RemoteStub(Mean_1.10.0)"


def test_stubs_do_not_depend_on_the_order_of_the_answer() -> None:
    other = ProcessorSpec("b", "3", "a:1", ODD.algorithms[:1])
    assert render([ODD, other]) == render([other, ODD])
    for text in render([ODD, other]).values():
        ast.parse(text)
    assert [ast.parse(text) for text in render([]).values()]
    taken: set[str] = set()
    assert [identifier(text, taken) for text in ("", "a b", "a-b", "match", "9")] == [
        "__",
        "a_b",
        "a_b_2",
        "match_",
        "_9",
    ]


def test_sync_in_other_languages_is_refused(orca: Any) -> None:
    assert orca("sync", "-sdk", "go")[0] == 2


def test_algos_of_the_core(orca: Any, core: ScriptedCore) -> None:
    core.registrations.append(convert.processor_to_wire(ProcessorSpec("b", "3", "a:1", ODD.algorithms[:1])))
    assert orca("algos", "--core", core.address)[1] == "b: Mean_1.0.0  window Every30Second_1.0.0  struct\n"


@pytest.mark.parametrize("command", ["algos", "emit", "init", "run", "sync"])
def test_every_command_takes_json_after_its_name_too(orca: Any, command: str) -> None:
    code, out, _ = orca(command, "--json", "--help")
    assert (code, "--json" in out) == (0, True)
