"""The README examples of published orca-python releases run with this package in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from cores import emit, running, wait_for_port
from programs import clean_environment, run_program

import sdists
import seeds
from ports import free_port
from scripted_core import ScriptedCore

VERSIONS = ["0.2.0", "0.7.14", "0.13.0"]


def examples(version: str) -> list[str]:
    return seeds.fenced(sdists.readme("orca-python", version), "python")


def variables(version: str, core: str, port: int) -> dict[str, str]:
    """What the command line of the README sets, with our addresses in place of its own."""
    own = {"ORCASERVER": f"grpc://{core}", "ORCA_CORE": f"grpc://{core}", "HOST": "127.0.0.1"}
    own["PROCESSOR_PORT"] = str(port)
    printed = seeds.command_variables(sdists.readme("orca-python", version))
    with_port = ":" in printed.get("PROCESSOR_ADDRESS", "")
    own["PROCESSOR_ADDRESS"] = f"127.0.0.1:{port}" if with_port else "127.0.0.1"
    return {name: own[name] for name in printed}


def test_the_command_lines_are_these() -> None:
    found = [sorted(variables(version, "core:1", 8080).items()) for version in VERSIONS]
    assert found == [
        [("HOST", "127.0.0.1"), ("ORCASERVER", "grpc://core:1")],
        [("ORCA_CORE", "grpc://core:1"), ("PROCESSOR_ADDRESS", "127.0.0.1"), ("PROCESSOR_PORT", "8080")],
        [("ORCA_CORE", "grpc://core:1"), ("PROCESSOR_ADDRESS", "127.0.0.1:8080")],
    ]


@pytest.mark.parametrize(("version", "blocks"), [("0.2.0", 1), ("0.7.14", 1), ("0.13.0", 3)])
def test_the_first_program(version: str, blocks: int, tmp_path: Path) -> None:
    found = examples(version)
    assert len(found) == blocks
    source = found[0]
    with pytest.raises(IndentationError):
        compile(source, "as printed", "exec")
    port = free_port()
    with ScriptedCore() as core:
        bare = {name: value for name, value in clean_environment().items() if name not in ("HOST", "PORT")}
        env = {**bare, **variables(version, core.address, port), "PYTHONUNBUFFERED": "1"}
        with running(seeds.indented(source), tmp_path, env) as log:
            (registration,) = core.wait(lambda: core.registrations)
            host, _, bound = registration.connection_str.rpartition(":")
            wait_for_port(int(bound), log)
            emit(core, "MyWindow")
            result = core.wait(lambda: core.results.get("MyAlgo_1.0.0"))
    assert result.struct_value["result"] == 42
    assert host == "127.0.0.1"
    # Without a port on the command line a free one is taken, and told.
    assert bound == str(port) or (version == "0.2.0" and int(bound) > 0)


STUBS = {
    "__init__.py": "",
    "window_types.py": (
        "from orca_python import WindowType\n"
        'every_30_seconds = WindowType("Every30Second", "1.0.0", "each half minute")\n'
    ),
    "algorithms.py": (
        "def my_remote_algorithm(params): ...\n"
        "my_remote_algorithm.__orca_is_remote__ = True\n"
        'my_remote_algorithm.__orca_metadata__ = {"Name": "Remote", "Version": "2.0.0", '
        '"ProcessorName": "far", "ProcessorRuntime": "py"}\n'
    ),
}


@pytest.mark.parametrize("folder", ["registry", ".orca/registry"])
def test_the_program_with_stubs(folder: str, tmp_path: Path) -> None:
    bare, source = examples("0.13.0")[1:]
    assert "<my_remote_algorithm>" in bare  # a template, no program
    (tmp_path / folder).mkdir(parents=True)
    for name, text in STUBS.items():
        (tmp_path / folder / name).write_text(text)
    # The README leaves out the import of the two names in the signature.
    head = "from orca_python import ExecutionParams, StructResult\n"
    tail = 'print(proc.spec("127.0.0.1:1").algorithms[0].dependencies)\n'
    done = run_program(head + source + tail, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "DependencySpec(name='Remote', version='2.0.0', processor='far', runtime='py', lookback=None)"
        in done.stdout
    )


def test_without_stubs_the_import_fails(tmp_path: Path) -> None:
    done = run_program("from orca_python.registry.algorithms import x\n", tmp_path)
    assert (
        done.stderr.splitlines()[-1]
        == "ModuleNotFoundError: No module named 'orca_python.registry.algorithms'"
    )
