"""The README examples of published orca-python releases run with this package in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from cores import emit, environment, free_port, running, wait_for_port
from programs import run_program

import sdists
import seeds
from scripted_core import ScriptedCore

# What the command line of each README sets.
VARIABLES = {
    "0.2.0": ["ORCASERVER", "HOST", "PORT"],
    "0.7.14": ["ORCA_CORE", "PROCESSOR_ADDRESS"],
    "0.13.0": ["ORCA_CORE", "PROCESSOR_ADDRESS"],
}


def examples(version: str) -> list[str]:
    return seeds.fenced(sdists.readme("orca-python", version), "python")


@pytest.mark.parametrize("version", list(VARIABLES))
def test_the_first_program(version: str, tmp_path: Path) -> None:
    source = examples(version)[0]
    with pytest.raises(IndentationError):
        compile(source, "as printed", "exec")
    port = free_port()
    with ScriptedCore() as core:
        every = environment(core.address, port)
        chosen = {name: every[name] for name in VARIABLES[version]}
        env = {**environment(core.address, port, first=True), **chosen}
        env = {name: value for name, value in env.items() if name in chosen or name not in VARIABLES["0.2.0"]}
        with running(seeds.indented(source), tmp_path, env) as log:
            wait_for_port(port, log)
            emit(core, "MyWindow")
            result = core.wait(lambda: core.results.get("MyAlgo_1.0.0"))
        (registration,) = core.registrations
    assert result.struct_value["result"] == 42
    assert registration.connection_str == f"127.0.0.1:{port}"


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
