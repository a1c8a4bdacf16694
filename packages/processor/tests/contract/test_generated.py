from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from published import published_python

PACKAGE = Path(__file__).resolve().parents[2]
GENERATOR = published_python("grpcio-tools==1.66.2", "setuptools<81")


def generate(*arguments: str, package: Path = PACKAGE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(GENERATOR), str(package / "generate.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_committed_code_is_what_proto_says() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    # In a copy of what the script reads: another test looks at the real files meanwhile.
    package = tmp_path / "packages" / "processor"
    code = Path("src/orca/processor")
    shutil.copytree(PACKAGE.parents[1] / "proto", tmp_path / "proto")
    shutil.copytree(PACKAGE / code / "_generated", package / code / "_generated")
    for name in ("generate.py", code / "_client_async.py"):
        shutil.copy(PACKAGE / name, package / name)
    done = generate("--check", package=package)
    assert done.returncode == 0, done.stdout + done.stderr
    (package / code / "_generated" / "stray_pb2.py").write_text("")
    done = generate("--check", package=package)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        str(code / "_generated" / "stray_pb2.py")
    ]


EXPECTED = "0a0808011080cab5ee011a01412a017832100a0e0a016b120911000000000000f83f"

PROGRAM = """
import sys
if sys.argv[1] == "ours":
    from orca.processor import wire
    import service_pb2
else:
    import service_pb2
    from orca.processor import wire
ours = wire.Window(window_type_name="Every", window_type_version="1.0.0", origin="here")
theirs = service_pb2.Window.FromString(ours.SerializeToString())
assert theirs.window_type_name == "Every" and theirs.origin == "here"
assert type(theirs) is not type(ours)
import service_pb2_grpc
assert wire.Window.FromString(theirs.SerializeToString()) == ours
print("both")
"""


@pytest.mark.parametrize("version", ["0.2.0", "0.6.0", "0.13.0"])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_both_packages_live_in_one_process(version: str, first: str) -> None:
    python = published_python(f"orca-python=={version}")
    environment = {"PYTHONPATH": str(PACKAGE / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(python), "-c", PROGRAM, first],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.stdout == "both\n", done.stderr


@pytest.mark.parametrize("requirements", [("grpcio==1.66.2", "protobuf==5.27.2"), ("grpcio", "protobuf")])
def test_the_oldest_and_the_newest_runtime_read_the_same_bytes(requirements: tuple[str, ...]) -> None:
    program = (
        "from orca.processor import wire\n"
        "window = wire.Window(origin='x', window_type_name='A')\n"
        "window.metadata['k'] = 1.5\n"
        "window.time_from.FromNanoseconds(1_500_000_000)\n"
        "handler = wire.aio_handler({wire.OrcaCore.EmitWindow: print})\n"
        "print(window.SerializeToString(deterministic=True).hex())\n"
    )
    done = subprocess.run(
        [str(published_python(*requirements)), "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(PACKAGE / "src"), "PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.stdout.strip() == EXPECTED, done.stderr
