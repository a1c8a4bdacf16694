"""Which of two distributions that write the same files has its files there."""

from __future__ import annotations

from pathlib import Path

import pytest

from orca.common import _beside, cli, doctor

OURS = '"""Refuses to run beside another provider, as orca-compat does."""\n'
THEIRS = '"""The published module."""\n'


def place(folder: Path, *names: str, **modules: str) -> list[str]:
    """A folder as installers leave it: one folder of information for each name, and modules."""
    for name in names:
        (folder / name).mkdir(parents=True)
    for module, text in modules.items():
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text(text, "utf-8")
    return [str(folder / "absent"), str(folder)]


ALL_OURS = dict.fromkeys(_beside.PUBLISHED.values(), OURS)


def test_nothing_is_said_without_orca_compat(tmp_path: Path) -> None:
    path = place(tmp_path, "orca_python-0.13.0.dist-info", orca_python=THEIRS)
    assert _beside.installed(path) == {"orca-python": "0.13.0"}
    assert list(_beside.collisions(path)) == []
    assert list(doctor.check_compat(path)) == []


def test_alone_all_is_well(tmp_path: Path) -> None:
    path = place(tmp_path, "orca_compat-0.1.0.dist-info", "other-1.dist-info", "src", **ALL_OURS)
    (finding,) = doctor.check_compat(path)
    said = "nothing else provides orca_python, orca_runtime_python, orchestra_sdk"
    assert (finding.level, finding.message) == ("ok", said)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (OURS, "now `import orchestra_sdk` refuses to run, because the files of orca-compat are there"),
        (THEIRS, "now `import orchestra_sdk` runs orchestra-sdk"),
    ],
)
@pytest.mark.parametrize("form", ["orchestra_sdk-0.2.0.dist-info", "Orchestra.SDK-0.2.0.egg-info"])
def test_both_are_named_and_whose_files_are_there(tmp_path: Path, text: str, runs: str, form: str) -> None:
    modules = {**ALL_OURS, "orchestra_sdk": text}
    path = place(tmp_path, "orca_compat-0.1.0.dist-info", form, **modules)
    (finding,) = doctor.check_compat(path)
    assert finding.level == "error"
    assert finding.message == f"orchestra-sdk 0.2.0 and orca-compat both provide 'orchestra_sdk'; {runs}"
    assert finding.fix == (
        "pip uninstall -y orchestra-sdk && pip install --force-reinstall --no-deps orca-compat"
    )


def test_a_module_that_went_with_another_package_is_missed(tmp_path: Path) -> None:
    modules = {name: text for name, text in ALL_OURS.items() if name != "orca_python"}
    path = place(tmp_path, "orca_compat-0.1.0.dist-info", **modules)
    (found,) = _beside.collisions(path)
    assert found.module == "orca_python"
    assert found.message.startswith("orca-compat is installed and its module 'orca_python' is not: ")
    assert found.fix == "pip install --force-reinstall --no-deps orca-compat"


def test_the_first_folder_on_the_path_counts(tmp_path: Path) -> None:
    first = place(tmp_path / "a", "orca_compat-0.1.0.dist-info", **ALL_OURS)
    second = place(tmp_path / "b", "orca_python-0.13.0.dist-info", orca_python=THEIRS)
    (found,) = _beside.collisions([*second, *first])
    assert "runs orca-python" in found.message
    (found,) = _beside.collisions([*first, *second])
    assert "refuses to run" in found.message


def test_commands_warn_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place(tmp_path, "orca_compat-0.1.0.dist-info", "orca_python-0.13.0.dist-info", **ALL_OURS)
    # An empty entry is the working directory.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *path])
    assert cli.main(["--version"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("orca ")
    assert shown.err.startswith("warning: orca-python 0.13.0 and orca-compat both provide 'orca_python'; ")
    assert shown.err.endswith(
        "\n  hint: pip uninstall -y orca-python && pip install --force-reinstall --no-deps orca-compat\n"
    )
