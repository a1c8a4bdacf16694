"""A published package beside this one is named at import."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

PAIRS = [
    ("orca-python", "0.13.0", "orca_python"),
    ("orca-runtime-python", "0.1.30", "orca_runtime_python"),
    ("orchestra-sdk", "0.2.0", "orchestra_sdk"),
]


@pytest.mark.parametrize(("distribution", "version", "module"), PAIRS)
def test_the_import_says_which_two_collide(
    distribution: str, version: str, module: str, tmp_path: Path
) -> None:
    # What an installation leaves: a folder with the name and version of the distribution.
    info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    done = run_program(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport {module}\n", tmp_path / "run")
    assert done.returncode == 1
    message = done.stderr.splitlines()
    assert message[-2] == (
        f"ImportError: {distribution} {version} and orca-compat both provide '{module}', so which one runs is chance; "
        "keep one:"
    )
    assert message[-1].strip() == (
        f"pip uninstall {distribution} && pip install --force-reinstall --no-deps orca-compat"
    )


@pytest.mark.parametrize("module", [module for _, _, module in PAIRS])
def test_alone_it_imports_and_changes_no_logging(module: str, tmp_path: Path) -> None:
    program = (
        f"import logging\nimport {module}\nprint(logging.getLogger().handlers, logging.getLogger().level)\n"
    )
    done = run_program(program, tmp_path)
    assert (done.returncode, done.stdout) == (0, "[] 30\n"), done.stderr
