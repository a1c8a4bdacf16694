"""The published packages and this one in one environment, installed for real, in either order.

Both write files of the same names, and installers say nothing about it. Whichever was last, somebody has to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from own_wheels import Environment, wheels

VERSIONS = {"orca-python": "0.13.0", "orca-runtime-python": "0.1.30", "orchestra-sdk": "0.2.0"}
MODULES = {name: name.replace("-", "_") for name in VERSIONS}
PUBLISHED = [f"{name}=={version}" for name, version in VERSIONS.items()]
OURS = ("common", "processor", "statemachine", "orchestra", "compat")
NAMES = sorted(VERSIONS)
MEND = "pip install --force-reinstall --no-deps orca-compat"


@pytest.fixture(scope="session")
def ours_last(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The published packages first, then this one over them."""
    made = Environment(tmp_path_factory.mktemp("ours-last") / "venv")
    made.install(*PUBLISHED, "setuptools<81")
    made.install(*wheels(*OURS))
    return made


@pytest.fixture(scope="session")
def ours_first(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """This one first, then the published packages over it."""
    made = Environment(tmp_path_factory.mktemp("ours-first") / "venv")
    made.install(*wheels(*OURS))
    made.install(*PUBLISHED, "setuptools<81")
    return made


@pytest.mark.parametrize("name", NAMES)
def test_installed_last_our_module_refuses_to_run(ours_last: Environment, name: str, tmp_path: Path) -> None:
    done = ours_last.run("python", "-c", f"import {MODULES[name]}", cwd=tmp_path)
    assert done.returncode == 1
    said = (
        f"{name} {VERSIONS[name]} and orca-compat both provide '{MODULES[name]}', so which one runs is chance"
    )
    assert done.stderr.splitlines()[-2:] == [
        f"ImportError: {said}; keep one:",
        f"  pip uninstall {name} && {MEND}",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_below_refuses_too(ours_last: Environment, name: str, tmp_path: Path) -> None:
    inner = {"orca-python": "main", "orca-runtime-python": "types", "orchestra-sdk": "orchestra"}[name]
    done = ours_last.run("python", "-c", f"import {MODULES[name]}.{inner}", cwd=tmp_path)
    assert "both provide" in done.stderr


def message(name: str, runs: str) -> str:
    module, version = MODULES[name], VERSIONS[name]
    return f"{name} {version} and orca-compat both provide '{module}'; now `import {module}` {runs}"


@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_says_whose_files_are_there(
    ours_first: Environment, ours_last: Environment, name: str, tmp_path: Path
) -> None:
    theirs = ours_first.run("orca", "doctor", cwd=tmp_path)
    ours = ours_last.run("orca", "doctor", cwd=tmp_path)
    assert (theirs.returncode, ours.returncode) == (1, 1)
    fix = f"        fix: pip uninstall -y {name} && {MEND}"
    assert f"error   compat: {message(name, f'runs {name}')}\n{fix}\n" in theirs.stdout
    refuses = message(name, "refuses to run, because the files of orca-compat are there")
    assert f"error   compat: {refuses}\n{fix}\n" in ours.stdout


def test_installed_first_every_command_says_that_the_published_files_won(
    ours_first: Environment, tmp_path: Path
) -> None:
    for command in (("orca", "--version"), ("orca", "machine", "--help")):
        done = ours_first.run(*command, cwd=tmp_path)
        assert done.returncode == 0
        for name in NAMES:
            expected = (
                f"warning: {message(name, f'runs {name}')}\n  hint: pip uninstall -y {name} && {MEND}\n"
            )
            assert expected in done.stderr
    shown = ours_first.run("orca", "--json", "--version", cwd=tmp_path)
    assert shown.stdout == '{"version": "0.1.0"}\n'


def test_what_the_hints_say_puts_it_right(tmp_path: Path) -> None:
    made = Environment(tmp_path / "venv")
    made.install(*wheels(*OURS))
    alone = made.run("orca", "doctor", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert (
        "ok      compat: nothing else provides orca_python, orca_runtime_python, orchestra_sdk\n"
        in alone.stdout
    )
    made.install("orchestra-sdk==0.2.0")
    made.uninstall("orchestra-sdk")
    lost = made.run("orca", "doctor", cwd=tmp_path)
    assert lost.returncode == 1
    assert "orca-compat is installed and its module 'orchestra_sdk' is not" in lost.stdout
    assert f"fix: {MEND}\n" in lost.stdout
    made.install(*wheels("compat"), options=("--reinstall" if made.uv else "--force-reinstall", "--no-deps"))
    mended = made.run("orca", "doctor", cwd=tmp_path)
    assert (mended.returncode, mended.stderr) == (0, "")
    done = made.run(
        "python", "-c", "import orchestra_sdk.orchestra as o; print(o.OrchestraSDK)", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
