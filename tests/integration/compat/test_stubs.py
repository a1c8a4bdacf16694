"""``orca sync`` writes stubs of what the core knows; a program imports them under the published name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local_core import clean_environment, local_core, orca

PROCESSOR = """
from orca_python import Processor, WindowType

proc = Processor("far")

@proc.algorithm("Mean", "1.0.0", WindowType("Half", "1.0.0", "each half minute"), "the mean")
def mean(params) -> float:
    return 1.0

proc.Register()
"""
USER = """
from orca_python import Processor
from orca_python.registry.algorithms import Mean
from orca_python.registry.window_types import Half

proc = Processor("near")

@proc.algorithm("Twice", "1.0.0", Half, "twice the mean", depends_on=[Mean])
def twice(params) -> float:
    return params.dependencies.get_result(Mean).results[0].result * 2

(spec,) = proc.spec("h:1").algorithms
print(spec.window_type.full_name, spec.dependencies[0].full_name, spec.dependencies[0].processor)
"""


def run(source: str, folder: Path, core: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        env={**clean_environment(), "ORCASERVER": core, "PORT": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stubs_of_another_processor_are_dependencies(tmp_path: Path) -> None:
    with local_core(tmp_path) as core:
        run(PROCESSOR, tmp_path, core)
        orca("sync", folder=tmp_path)
        assert (tmp_path / "registry" / "algorithms.py").is_file()
        assert run(USER, tmp_path, core) == "Half_1.0.0 Mean_1.0.0 far\n"
