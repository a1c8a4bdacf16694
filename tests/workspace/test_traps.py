"""Each trap is planted in a copy of the repository, and the check that guards it must see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workspace_checks import CHECKS, MODULES, ROOT, check_wheel, files


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's files in a folder of their own."""
    root = tmp_path / "copy"
    for path in files(ROOT):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return root


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def namespace_init(root: Path) -> None:
    (root / "packages/processor/src/orca/__init__.py").touch()


def untyped(root: Path) -> None:
    (root / "packages/common/src/orca/common/py.typed").unlink()


def shadowing_tests(root: Path) -> None:
    folder = root / "packages/common/tests/orca"
    folder.mkdir(parents=True)
    (folder / "test_x.py").touch()


def unequal_version(root: Path) -> None:
    replace(root / "packages/processor/pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"')


def loose_sibling(root: Path) -> None:
    replace(root / "packages/processor/pyproject.toml", '"orca-common==0.1.0"', '"orca-common>=0.1.0"')


def undeclared_import(root: Path) -> None:
    replace(root / "packages/processor/pyproject.toml", '  "orca-common==0.1.0",\n', "")
    append(root / "packages/processor/src/orca/processor/__init__.py", "\nimport orca.common.errors\n")


def forbidden_import(root: Path) -> None:
    append(root / "packages/statemachine/src/orca/statemachine/__init__.py", "\nimport orca.processor\n")


def private_import(root: Path) -> None:
    (root / "packages/common/src/orca/common/_hidden.py").write_text("x = 1\n")
    append(root / "packages/processor/src/orca/processor/__init__.py", "\nfrom orca.common import _hidden\n")


def long_function(root: Path) -> None:
    body = "".join(f"    x = {number}\n" for number in range(80))
    append(root / "packages/common/src/orca/common/errors.py", f"\n\ndef f():\n{body}")


def long_module(root: Path) -> None:
    append(root / "packages/common/src/orca/common/errors.py", "\n" * 900)


def machine_path(root: Path) -> None:
    append(root / "README.md", "\nSee /wor" + "k/main/x.py\n")


def unlocked(root: Path) -> None:
    replace(root / "packages/common/pyproject.toml", '"pydantic>=2.7"', '"pydantic>=999"')


def stale_generated(root: Path) -> None:
    append(root / ".importlinter", "\n# by hand\n")


def undocumented_name(root: Path) -> None:
    path = root / "packages/common/src/orca/common/errors.py"
    replace(path, '"UsageError"]', '"UsageError", "planted"]')
    append(path, '\n\ndef planted(size: int = 3) -> None:\n    """Do nothing."""\n')


def undocumented_error(root: Path) -> None:
    code = '\n\nclass Planted(OrcaError):\n    """It was planted."""\n\n    code = "PLANTED"\n'
    append(root / "packages/common/src/orca/common/errors.py", code)


def undocumented_option(root: Path) -> None:
    replace(root / "packages/orchestra/src/orchestra/sdk/cli.py", '"--quiet"', '"--hushed"')


def undocumented_setting(root: Path) -> None:
    path = root / "packages/orchestrator/src/orca/orchestrator/settings.py"
    replace(path, "stop_grace_s: float = 5.0", "stop_grace_s: float = 6.0")


def undocumented_variable(root: Path) -> None:
    code = '\nimport os\n\nPLANTED = os.environ.get("ORCA_PLANTED", "")\n'
    append(root / "packages/common/src/orca/common/errors.py", code)


def reference_by_hand(root: Path) -> None:
    append(root / "docs/reference/codes.md", "\nBy hand.\n")


PLANTS: list[tuple[str, Callable[[Path], None]]] = [
    ("namespaces", namespace_init),
    ("layout", untyped),
    ("layout", shadowing_tests),
    ("versions", unequal_version),
    ("versions", loose_sibling),
    ("cross-imports", undeclared_import),
    ("cross-imports", forbidden_import),
    ("private-imports", private_import),
    ("sizes", long_function),
    ("sizes", long_module),
    ("words", machine_path),
    ("lock", unlocked),
    ("generated", stale_generated),
]


@pytest.mark.parametrize(("check", "plant"), PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
def test_a_planted_fault_is_found(copy: Path, check: str, plant: Callable[[Path], None]) -> None:
    assert CHECKS[check](copy) == [], "the copy starts clean"
    plant(copy)
    findings = CHECKS[check](copy)
    assert findings, f"{check} did not see {plant.__name__}"


REFERENCE = {
    undocumented_name: "names-common.md",
    undocumented_error: "codes.md",
    undocumented_option: "commands.md",
    undocumented_setting: "settings.md",
    undocumented_variable: "reads ORCA_PLANTED",
    reference_by_hand: "codes.md",
}


@pytest.mark.parametrize("plant", REFERENCE, ids=[plant.__name__ for plant in REFERENCE])
def test_a_stale_reference_page_is_found(copy: Path, plant: Callable[[Path], None]) -> None:
    plant(copy)
    done = subprocess.run(
        [sys.executable, "tests/support/reference_pages.py", "--check"],
        cwd=copy, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert REFERENCE[plant] in done.stdout + done.stderr


def test_every_check_has_a_plant() -> None:
    assert {check for check, _ in PLANTS} == set(CHECKS)


@pytest.mark.parametrize("script", sorted(path.parent.name for path in ROOT.glob("packages/*/generate.py")))
def test_a_changed_generated_file_is_found(copy: Path, script: str) -> None:
    """Whatever a generator writes, a change by hand to it is noticed."""
    written = generated_files(copy, script)
    assert written, f"packages/{script}/generate.py wrote nothing"
    append(written[0], BY_HAND)
    done = run_check(copy, script)
    assert done.returncode == 1
    assert written[0].name in done.stdout + done.stderr


def run_check(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"packages/{script}/generate.py", "--check"],
        cwd=root, env=with_sources(root), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def generated_files(root: Path, script: str) -> list[Path]:
    """The text files that the generator writes: those from which it removes a comment added by hand."""
    folders = [root / "packages" / script, root / "docs"]
    suffixes = {".py", ".pyi", ".md", ".lark"}
    texts = [
        p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in suffixes
    ]
    before = {path: path.read_text("utf-8") for path in texts}
    for path in texts:
        append(path, BY_HAND)
    subprocess.run(
        [sys.executable, f"packages/{script}/generate.py"],
        cwd=root, env=with_sources(root), check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    written = [path for path in texts if not path.read_text("utf-8").endswith(BY_HAND)]
    for path, text in before.items():
        path.write_text(text, "utf-8")
    return written


BY_HAND = "\n# by hand\n"


def with_sources(root: Path) -> dict[str, str]:
    """An environment in which the copy's packages come before the installed ones."""
    paths = [str(root / "packages" / package / "src") for package in MODULES]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["lint-imports", "--config", ".importlinter", "--no-cache"],
        cwd=root, env=with_sources(root), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_import_linter_refuses_a_sideways_import(copy: Path) -> None:
    clean = lint_imports(copy)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    forbidden_import(copy)
    done = lint_imports(copy)
    assert done.returncode == 1
    assert "orca.statemachine -> orca.processor" in done.stdout


def test_import_linter_refuses_an_impure_kernel(copy: Path) -> None:
    pyproject = copy / "packages/common/pyproject.toml"
    append(pyproject, '\n[tool.orca-workspace-test]\nkernel = "planted below"\n')
    config = subprocess.run(
        [sys.executable, "-c", IMPURE_KERNEL],
        cwd=copy / "tests/support",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (copy / ".importlinter").write_text(config)
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout
    assert "orca.common.clock -> time" in done.stdout


# The clock reads the time, so that declaring it a kernel must break the contract.
IMPURE_KERNEL = """
import importlinter_config as config
config.MODULES = {"common": ["orca.common"]}
config.MAY_IMPORT = {"common": set()}
print("[importlinter]\\ninclude_external_packages = True\\nroot_packages =\\n    orca.common\\n")
print("\\n".join(config.contract("kernel-common", "planted", ["orca.common.clock"], list(config.IMPURE))))
"""


def test_a_wheel_with_a_stray_module_is_refused(copy: Path, tmp_path: Path) -> None:
    package = copy / "packages/common"
    (package / "src/stray").mkdir()
    (package / "src/stray/__init__.py").touch()
    replace(
        package / "pyproject.toml", 'module-name = "orca.common"', 'module-name = ["orca.common", "stray"]'
    )
    subprocess.run(
        [sys.executable, "-m", "build", "-q", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(package)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    findings = check_wheel(next(tmp_path.glob("*.whl")))
    assert len(findings) == 1
    assert "stray/__init__.py is outside orca/common" in findings[0]
