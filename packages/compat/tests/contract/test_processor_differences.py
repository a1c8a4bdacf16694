"""Each difference on the migration page of orca-python, shown on published releases and on this package."""

# ruff: noqa: E501 - programs read better with their lines as they are

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from batch import run_batch
from cores import emit, environment, here, published, running, wait_for_port
from programs import Outcome, clean_environment

from ports import free_port
from scripted_core import ScriptedCore

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "howto" / "migrate-orca-python.md"
SHOWN_ELSEWHERE = ["results of every form", "functions of every kind", "the window's metadata"]
HEAD = """
import datetime as dt, logging, os, sys
from orca_python import *
half = WindowType("Every30Second", "1.0.0", "each half minute") if "WindowType" in dir() else None
proc = Processor("ml")
"""

# name: (release, variables, program, last line printed there, last line printed here)
CASES: dict[str, tuple[str, dict[str, str], str, str, str]] = {
    "hosts that begin with g, r, p or c": (
        "0.13.0",
        {"ORCA_CORE": "grpc://grid:50051"},
        "from orca_python import envs\nprint(envs.ORCA_CORE)",
        "id:50051",
        "grid:50051",
    ),
    "the external port": (
        "0.13.0",
        {"PROCESSOR_EXTERNAL_PORT": ""},
        "print(getattr(proc, '_orcaProcessorConnStr', None) or proc.spec(proc.find_address().advertise(5)).address)",
        "127.0.0.1:0",
        "127.0.0.1:7001",
    ),
    "names of decorated functions": (
        "0.13.0",
        {},
        "@proc.algorithm('A', '1.0.0', half, 'd')\ndef mine(params) -> StructResult:\n    return StructResult({})\nprint(mine.__name__)",
        "wrapper",
        "mine",
    ),
    "annotations as texts": (
        "0.13.0",
        {},
        'ns = dict(globals())\nsource = \'from __future__ import annotations\\n@proc.algorithm("A", "1.0.0", half, "d")\\ndef mine(params: ExecutionParams) -> StructResult:\\n    return StructResult({})\\n\'\ntry:\n    exec(source, ns)\n    print(\'accepted\')\nexcept Exception as error:\n    print(type(error).__name__)',
        "InvalidAlgorithmReturnType",
        "accepted",
    ),
    "what may be returned": (
        "0.13.0",
        {},
        "try:\n    @proc.algorithm('A', '1.0.0', half, 'd')\n    def mine(params) -> dict:\n        return {}\n    print('accepted')\nexcept Exception as error:\n    print(type(error).__name__)",
        "InvalidAlgorithmReturnType",
        "accepted",
    ),
    "both forms in one program": (
        "0.13.0",
        {},
        "try:\n    @proc.algorithm('A', '1.0.0', 'Every30Second', '1.0.0')\n    def mine() -> dict:\n        return {}\n    print('accepted')\nexcept Exception as error:\n    print(type(error).__name__)",
        "InvalidAlgorithmReturnType",
        "accepted",
    ),
    "look-backs": (
        "0.13.0",
        {},
        "@proc.algorithm('A', '1.0.0', half, 'd')\ndef a(params) -> ValueResult:\n    return ValueResult(1)\nbefore = set(vars(a))\nlookback(a, n=3)\nprint(sorted(set(vars(a)) - before))",
        "['_lookback_n', '_lookback_td']",
        "[]",
    ),
    "two look-backs of one algorithm": (
        "0.13.0",
        {},
        (
            "@proc.algorithm('A', '1.0.0', half, 'd')\ndef a(params) -> ValueResult:\n    return ValueResult(1)\n@proc.algorithm('B', '1.0.0', half, 'd')\ndef b(params) -> ValueResult:\n    return ValueResult(1)\n"
            "@proc.algorithm('C', '1.0.0', half, 'd', depends_on=[lookback(a, n=3), lookback(b, n=5)])\ndef c(params) -> ValueResult:\n    return ValueResult(1)\n"
            "if hasattr(proc, '_algorithmsSingleton'):\n    print([proc._algorithmsSingleton._get_lookback('C_1.0.0', n)[0] for n in ('A_1.0.0', 'B_1.0.0')])\nelse:\n    print([one.lookback.count for one in proc.spec('h:1').algorithms[2].dependencies])"
        ),
        "[0, 5]",
        "[3, 5]",
    ),
    "look-backs by count and time at once": (
        "0.13.0",
        {},
        "@proc.algorithm('A', '1.0.0', half, 'd')\ndef a(params) -> ValueResult:\n    return ValueResult(1)\ntry:\n    lookback(a, dt.timedelta(seconds=1), 3)\n    print('accepted')\nexcept ValueError as error:\n    print(type(error).__name__)",
        "accepted",
        "InvalidDependency",
    ),
    "times without a zone": (
        "0.13.0",
        {"TZ": "Etc/GMT-2"},
        "from google.protobuf.timestamp_pb2 import Timestamp\nat = dt.datetime(2026, 1, 1, 12)\nwindow = Window(at, at, 'W', '1.0.0', 'me')\nstamp = Timestamp()\nstamp.FromDatetime(at)\nprint(getattr(window, 'from_ns', stamp.ToNanoseconds()) // 3_600_000_000_000 % 24)",
        "12",
        "10",
    ),
    "windows that cannot be": (
        "0.13.0",
        {},
        "now = dt.datetime.now(dt.timezone.utc)\ntry:\n    Window(now, now - dt.timedelta(1), 'no name', '1', 'me')\n    print('accepted')\nexcept ValueError as error:\n    print(type(error).__name__)",
        "accepted",
        "InvalidWindowArgument",
    ),
    "windows as values": (
        "0.13.0",
        {},
        "now = dt.datetime.now(dt.timezone.utc)\nwindow = Window(now, now, 'W', '1.0.0', 'me')\ntry:\n    window.origin = 'you'\n    print(window.origin)\nexcept AttributeError as error:\n    print(type(error).__name__)",
        "you",
        "FrozenInstanceError",
    ),
    "fields of a window type": (
        "0.13.0",
        {},
        "print(type(WindowType('W', '1.0.0', 'd', [MetadataField('a', 'b')]).metadataFields).__name__)",
        "list",
        "tuple",
    ),
    "the answer of a core that is away": (
        "0.2.0",
        {"ORCASERVER": "grpc://127.0.0.1:1"},
        "import grpc\ntry:\n    EmitWindow(Window(time_from=1, time_to=2, name='W', version='1.0.0', origin='me'))\nexcept grpc.RpcError as error:\n    print(isinstance(error, ConnectionError))",
        "False",
        "True",
    ),
    "importing configures logging": (
        "0.13.0",
        {},
        "print(len(logging.getLogger().handlers))",
        "1",
        "0",
    ),
    "a host without a port": (
        "0.2.0",
        dict.fromkeys(
            ("PORT", "ORCA_CORE", "PROCESSOR_ADDRESS", "PROCESSOR_PORT", "PROCESSOR_EXTERNAL_PORT"), ""
        ),
        "print(getattr(proc, '_orcaProcessorConnStr', None) or proc.spec(proc.find_address().advertise(5)).address)",
        "127.0.0.1:",
        "127.0.0.1:5",
    ),
    "settings at import": (
        "0.13.0",
        {"ORCA_CORE": ""},
        "print('imported')",
        "",
        "imported",
    ),
    "algorithms that are there already": (
        "0.2.0",
        {},
        "for _ in range(2):\n    try:\n        @proc.algorithm('A', '1.0.0', 'W', '1.0.0')\n        def a():\n            return 1\n    except ValueError as error:\n        print(type(error).__name__)",
        "ValueError",
        "InvalidAlgorithmArgument",
    ),
}


def last_line(text: str) -> str:
    return (text.splitlines() or [""])[-1]


# A release reads its settings when it is imported, so only what it stands on is loaded for all programs at once.
BELOW = ["grpc", "google.protobuf.struct_pb2", "google.protobuf.timestamp_pb2", "concurrent.futures"]
VERSIONS = sorted({version for version, *_ in CASES.values()})


def jobs(version: str, folder: Path) -> dict[str, dict[str, object]]:
    """The programs of a release, or, without one, of this package: all of them."""
    found: dict[str, dict[str, object]] = {}
    for number, (name, (wanted, variables, program, *_)) in enumerate(CASES.items()):
        if version in ("", wanted):
            every = {**environment("127.0.0.1:1", 7001), **variables}
            env = {key: value for key, value in every.items() if value and key != "PATH"}
            gone = [key for key, value in every.items() if not value]
            place = str(folder / (version or "here") / str(number))
            found[name] = {"source": HEAD + program, "folder": place, "env": env, "without": gone}
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Outcome]]:
    """By release, the empty one being this package: how each program ended."""
    folder = tmp_path_factory.mktemp("differences")

    def side(version: str) -> dict[str, Outcome]:
        python = published(version) if version else here
        modules = BELOW if version else [*BELOW, "orca_python", "orca.processor.server"]
        found = run_batch(python, modules, jobs(version, folder), clean_environment(python))
        return {name: Outcome(*one) for name, one in found.items()}

    sides = ["", *VERSIONS]
    with ThreadPoolExecutor(len(sides)) as pool:
        return dict(zip(sides, pool.map(side, sides), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_difference(name: str, outcomes: dict[str, dict[str, Outcome]]) -> None:
    version, _, _, before, after = CASES[name]
    there, done = outcomes[version][name], outcomes[""][name]
    assert last_line(there.stdout) == before, there.stderr
    assert last_line(done.stdout) == after, done.stderr


FORMS = """
from orca_python import *
half = WindowType("Every30Second", "1.0.0", "each half minute", [MetadataField("asset", "which one")])
proc = Processor("ml")

@proc.algorithm("Array", "1.0.0", half, "an array")
def array(params: ExecutionParams) -> ArrayResult:
    return ArrayResult([1, 2.5])

@proc.algorithm("Nothing", "1.0.0", half, "nothing")
def nothing(params: ExecutionParams) -> NoneResult:
    return NoneResult()

@proc.algorithm("Later", "1.0.0", half, "a coroutine")
async def later(params: ExecutionParams) -> ValueResult:
    return ValueResult(3)

@proc.algorithm("Meta", "1.0.0", half, "metadata")
def meta(params: ExecutionParams) -> StructResult:
    return StructResult({"asset": params.window.metadata["asset"]})

proc.Register()
proc.Start()
"""


def test_results_of_every_form_functions_of_every_kind_and_metadata(tmp_path: Path) -> None:
    outcome = {}
    for python in (published("0.13.0"), here):
        port = free_port()
        with (
            ScriptedCore() as core,
            running(FORMS, tmp_path / str(port), environment(core.address, port), python=python) as log,
        ):
            core.wait(lambda core=core: core.registrations)
            wait_for_port(port, log)
            emit(core, metadata={"asset": 7})
            core.wait(lambda core=core: len(core.results) == 4)
            outcome[python] = {name: result.status for name, result in core.results.items()}
            results = dict(core.results)
    assert set(outcome[published("0.13.0")].values()) <= {0, 1}
    assert set(outcome[here].values()) == {2}
    assert list(results["Array_1.0.0"].float_values.values) == [1, 2.5]
    assert results["Nothing_1.0.0"].WhichOneof("result_data") is None
    assert results["Later_1.0.0"].single_value == 3
    assert results["Meta_1.0.0"].struct_value["asset"] == 7


def section() -> str:
    """The part of the page that this file shows; names and parameters have a test of their own."""
    return PAGE.read_text("utf-8").split("## What differs, on purpose\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_lists_exactly_these() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", section(), re.MULTILINE)
    shown = [row for row in rows if row != "what" and not row.startswith("-")]
    assert shown == [*SHOWN_ELSEWHERE, *CASES]
