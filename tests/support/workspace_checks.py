"""Facts about this repository that must hold, each as a function from a root folder to its findings.

A finding is one line that names the place and the mend. ``tests/workspace`` asserts that there is none, and plants
each fault in a temporary copy to show that the check sees it. The commands below build on the same functions:

    python tests/support/workspace_checks.py all
    python tests/support/workspace_checks.py wheels dist/*.whl
    python tests/support/workspace_checks.py install-wheels dist constraints.txt
    python tests/support/workspace_checks.py extras constraints.txt processor statemachine ...
    python tests/support/workspace_checks.py lock constraints.txt [--upgrade]
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

MODULES = {
    "common": ["orca.common"],
    "processor": ["orca.processor"],
    "orchestrator": ["orca.orchestrator"],
    "statemachine": ["orca.statemachine"],
    "orchestra": ["orchestra.sdk"],
    "compat": ["orca_python", "orca_runtime_python", "orchestra_sdk"],
}
MAY_IMPORT = {
    "common": set[str](),
    "processor": {"common"},
    "orchestrator": {"common", "processor"},
    "statemachine": {"common"},
    "orchestra": {"common"},
    "compat": {"common", "processor", "orchestrator", "statemachine", "orchestra"},
}
# What an extra must not bring: the heavy requirements of the packages that it does not name.
NOT_WITH = {
    "common": ["anyio", "grpcio", "httpx", "lark", "protobuf", "starlette"],
    "processor": ["httpx", "lark", "markdown-it-py", "starlette"],
    "orchestrator": ["httpx", "lark"],
    "statemachine": ["grpcio", "httpx", "protobuf", "starlette"],
    "orchestra": ["grpcio", "lark", "protobuf", "starlette"],
    "compat": [],
    "all": [],
}
# rich, which the command line uses, needs markdown-it-py itself.
NOT_WITH["processor"].remove("markdown-it-py")

MODULE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$|/generated/|/_generated/|/vendor/|/static/")
# The project speaks of itself only. Spelt in pieces so that this file does not find itself.
FORBIDDEN_TEXT = {
    "a registry host": re.compile(
        "pythonhost" + r"ed|pypi\.or" + r"g|registry\.npmj" + "s|deb\\.debia" + "n"
    ),
    "a machine path": re.compile("(?<![A-Za-z0-9_.])/(wor" + "k|roo" + r"t)/[A-Za-z.]"),
    "a word of the workplace": re.compile(r"\bsubagen" + r"t|\bissue [#]?[0-9]" + r"\b", re.IGNORECASE),
}
TEXT_SUFFIXES = set(
    ".css .html .ini .js .json .lark .md .proto .py .pyi .sh .sql .toml .txt .yml".split()  # noqa: SIM905 - reads better
)


# --- reading the repository ----------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    """The files that belong to the repository: those git tracks or would track, or all in a plain copy."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split("\0")
        return [root / name for name in listed if name and (root / name).is_file()]
    return [path for path in root.rglob("*") if path.is_file()]


def toml(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text("utf-8"))


def requirement_name(requirement: str) -> str:
    """The normalised name of a requirement string."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match.group(1)).lower()


def sources(root: Path, package: str) -> Iterator[tuple[Path, ast.Module]]:
    """The parsed modules of a package, generated ones apart."""
    for path in sorted((root / "packages" / package / "src").rglob("*.py")):
        if not GENERATED.search(path.as_posix()):
            yield path, ast.parse(path.read_text("utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def owner(name: str) -> str | None:
    """The package that a dotted name belongs to."""
    for package, modules in MODULES.items():
        if any(name == module or name.startswith(f"{module}.") for module in modules):
            return package
    return None


# --- the checks ----------------------------------------------------------------------------------------


def check_namespaces(root: Path) -> list[str]:
    """``orca`` and ``orchestra`` are PEP 420 namespaces: an ``__init__.py`` there hides the other packages."""
    return [
        f"{path.relative_to(root)}: a namespace folder must not have an __init__.py; delete it"
        for path in files(root)
        if path.name == "__init__.py" and path.parent.name in ("orca", "orchestra")
    ]


def check_layout(root: Path) -> list[str]:
    """Typed packages, folders that Python can import, test folders that shadow nothing."""
    found = [
        f"packages/{package}/src/{module.replace('.', '/')}/py.typed is missing; add the empty file"
        for package, modules in MODULES.items()
        for module in modules
        if not (root / "packages" / package / "src" / module.replace(".", "/") / "py.typed").exists()
    ]
    found += [
        f"packages/{folder.name}: no hyphens in folders under packages/; use an underscore"
        for folder in (root / "packages").glob("*-*")
    ]
    for path in files(root):
        parts = path.relative_to(root).parts
        if "tests" in parts[:-1] and parts[parts.index("tests") + 1] in ("orca", "orchestra"):
            found.append(f"{path.relative_to(root)}: a tests/orca folder shadows the namespace; rename it")
    return found


def check_versions(root: Path) -> list[str]:
    """One static version everywhere, and siblings pinned to exactly it."""
    expected = toml(root / "pyproject.toml")["project"]["version"]
    found = []
    for path in sorted((root / "packages").glob("*/pyproject.toml")):
        place = path.relative_to(root)
        project = toml(path)["project"]
        if project.get("version") != expected:
            found.append(
                f"{place}: version {project.get('version')} is not the workspace's {expected}; set it"
            )
        optional = project.get("optional-dependencies", {}).values()
        for requirement in [
            *project.get("dependencies", []),
            *(item for group in optional for item in group),
        ]:
            sibling = requirement_name(requirement).startswith("orca-")
            if sibling and not re.fullmatch(rf"[a-z-]+(\[[a-z,]+\])?=={re.escape(expected)}", requirement):
                found.append(f"{place}: {requirement!r} must pin its sibling with =={expected}")
    for path in sorted((root / "packages").glob("*/src/**/__init__.py")):
        match = re.search(r'^__version__ = "(.*)"', path.read_text("utf-8"), re.MULTILINE)
        if match and match.group(1) != expected:
            found.append(f"{path.relative_to(root)}: __version__ {match.group(1)} is not {expected}; set it")
    return found


def check_cross_imports(root: Path) -> list[str]:
    """A package imports a sibling only where the rule allows it and its pyproject declares it."""
    found = []
    for package, allowed in MAY_IMPORT.items():
        project = toml(root / "packages" / package / "pyproject.toml")["project"]
        declared = {requirement_name(item) for item in project.get("dependencies", [])}
        for path, tree in sources(root, package):
            place = path.relative_to(root)
            for line, name in imported(tree):
                other = owner(name)
                if other in (None, package):
                    continue
                if other not in allowed:
                    found.append(
                        f"{place}:{line}: {package} must not import {name} ({other} is not below it)"
                    )
                elif f"orca-{other}" not in declared:
                    found.append(
                        f"{place}:{line}: imports {name}; declare orca-{other} in its pyproject.toml"
                    )
    return sorted(set(found))


def check_private_imports(root: Path) -> list[str]:
    """A module or name with a leading underscore belongs to its own package."""
    found = []
    for package in MODULES:
        for path, tree in sources(root, package):
            for line, name in imported(tree):
                private = any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
                if private and owner(name) not in (None, package):
                    found.append(f"{path.relative_to(root)}:{line}: {name} is private to {owner(name)}")
    return sorted(set(found))


def check_sizes(root: Path) -> list[str]:
    """Modules and functions stay small enough to read."""
    found = []
    for package in MODULES:
        for path, tree in sources(root, package):
            place = path.relative_to(root)
            lines = len(path.read_text("utf-8").splitlines())
            if lines > MODULE_LINES_MAX:
                found.append(f"{place}: {lines} lines; split it (at most {MODULE_LINES_MAX})")
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    body = (node.end_lineno or node.lineno) - node.lineno + 1
                    if body > FUNCTION_LINES_MAX:
                        found.append(f"{place}:{node.lineno}: {node.name} has {body} lines; split it")
    return found


def check_words(root: Path) -> list[str]:
    """No registry hosts, no machine paths, no talk of how the work was organised."""
    found = []
    for path in files(root):
        if path.suffix not in TEXT_SUFFIXES or "vendor" in path.parts:
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            for what, pattern in FORBIDDEN_TEXT.items():
                if pattern.search(line):
                    found.append(f"{path.relative_to(root)}:{number}: names {what}; take it out")
    return found


def requirements(root: Path) -> dict[str, str]:
    """Every third-party requirement of the repository, with the file that declares it."""
    found: dict[str, str] = {}
    for path in [root / "pyproject.toml", *sorted((root / "packages").glob("*/pyproject.toml"))]:
        table = toml(path)
        project = table["project"]
        # Generators are pinned to old tools on purpose; the lock would spread their pins to everything else.
        named = [group for name, group in table.get("dependency-groups", {}).items() if name != "generate"]
        groups = [*project.get("optional-dependencies", {}).values(), *named]
        for requirement in [*project.get("dependencies", []), *(item for group in groups for item in group)]:
            if isinstance(requirement, str) and not requirement_name(requirement).startswith("orca-"):
                found.setdefault(requirement, str(path.relative_to(root)))
    return found


def check_lock(root: Path) -> list[str]:
    """The lock knows every requirement, at a version that the requirement admits."""
    from packaging.requirements import Requirement

    locked: dict[str, list[str]] = {}
    for line in (root / "constraints.txt").read_text("utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line)
        if match:
            locked.setdefault(requirement_name(match.group(1)), []).append(match.group(2))
    found = []
    for text, place in requirements(root).items():
        requirement = Requirement(text)
        versions = locked.get(requirement_name(text), [])
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            found.append(f"{place}: {text!r} is not in constraints.txt; run: nox -s lock")
    return found


def check_generated(root: Path) -> list[str]:
    """Committed generated files are what their generator writes."""
    found = []
    scripts = [
        root / "tests" / "support" / "importlinter_config.py",
        *sorted(root.glob("packages/*/generate.py")),
        root / "tests" / "support" / "reference_pages.py",
    ]
    for script in scripts:
        done = subprocess.run(
            [sys.executable, str(script), "--check"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            found.append(
                f"{script.relative_to(root)} --check: {(done.stdout + done.stderr).strip()}; run: nox -s generate"
            )
    return found


CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "namespaces": check_namespaces,
    "layout": check_layout,
    "versions": check_versions,
    "cross-imports": check_cross_imports,
    "private-imports": check_private_imports,
    "sizes": check_sizes,
    "words": check_words,
    "lock": check_lock,
    "generated": check_generated,
}


# --- distributions -------------------------------------------------------------------------------------


def check_wheel(path: Path) -> list[str]:
    """A wheel holds its own package and nothing beside it."""
    package = path.name.split("-")[0].removeprefix("orca_")
    modules = [module.replace(".", "/") for module in MODULES.get(package, [])]
    names = [
        name
        for name in zipfile.ZipFile(path).namelist()
        if not name.endswith("/") and ".dist-info/" not in name and ".data/" not in name
    ]
    found = [
        f"{path.name}: {name} is outside {' and '.join(modules) or 'a distribution without modules'}"
        for name in names
        if not any(name.startswith(f"{module}/") for module in modules)
    ]
    for module in modules:
        found += [
            f"{path.name}: {module}/{name} is missing"
            for name in ("__init__.py", "py.typed")
            if f"{module}/{name}" not in names
        ]
    found += [f"{path.name}: carries bytecode {name}" for name in names if name.endswith((".pyc", ".pyo"))]
    return found


def environment(folder: Path) -> str:
    """Make an empty environment, without pip, and return its interpreter."""
    run("uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder))
    return str(folder / "bin" / "python")


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command, and fail with all that it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def installed(python: str) -> set[str]:
    """Names of the distributions in an environment."""
    code = (
        "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()), sep='\\n')"
    )
    return {requirement_name(name) for name in run(python, "-c", code).split()}


USE = """
import importlib, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for attribute in getattr(module, "__all__", []):
        getattr(module, attribute)
print("ok")
"""


def use_modules(python: str, packages: list[str]) -> None:
    """Import packages from outside the checkout, with every public name, so that no source folder can stand in."""
    with tempfile.TemporaryDirectory() as away:
        run(
            python,
            "-I",
            "-c",
            USE,
            *(module for package in packages for module in MODULES[package]),
            cwd=Path(away),
        )


# A wheel of the same version may be in uv's cache, built from yesterday's sources.
FRESH = [f"--refresh-package=orca-{package}" for package in [*MODULES, "toolkit"]]


def install_wheels(dist: Path, constraints: str) -> None:
    """Install each wheel alone, with its siblings from the same folder, and use it."""
    for package in MODULES:
        with tempfile.TemporaryDirectory() as folder:
            python = environment(Path(folder))
            wheel = next(dist.glob(f"orca_{package}-*.whl"))
            run(
                "uv",
                "pip",
                "install",
                "-q",
                "--python",
                python,
                *FRESH,
                "--find-links",
                str(dist),
                "-c",
                constraints,
                str(wheel),
            )
            use_modules(python, [package])
            print(f"{wheel.name}: installed alone, imported, every public name reached")
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder))
        wheel = next(dist.glob("orca_toolkit-*.whl"))
        run(
            "uv",
            "pip",
            "install",
            "-q",
            "--python",
            python,
            *FRESH,
            "--find-links",
            str(dist),
            "-c",
            constraints,
            f"{wheel}[all]",
        )
        use_modules(python, list(MODULES))
        print(f"{wheel.name}[all]: installed, every package imported")


def install_extras(constraints: str, extras: list[str]) -> None:
    """``pip install ".[extra]"`` by both installers: the extra works, and brings nothing of the others."""
    jobs = [(constraints, extra, tool) for extra in extras for tool in ("pip", "uv")]
    # Two at a time: an installer waits for the network as often as for a processor.
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(install_extra, *zip(*jobs, strict=True)):
            print(line, flush=True)


def install_extra(constraints: str, extra: str, tool: str) -> str:
    """Install one extra into an empty environment and use it; gives a line for the log."""
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder))
        by_pip = (sys.executable, "-m", "pip", "--python", python, "install")
        by_uv = ("uv", "pip", "install", "--python", python)
        run(*(by_pip if tool == "pip" else by_uv), "-q", "-c", constraints, f".[{extra}]")
        names = installed(python)
        strangers = names & set(NOT_WITH[extra])
        if strangers:
            raise SystemExit(f".[{extra}] by {tool} brings {', '.join(sorted(strangers))}")
        use_modules(python, list(MODULES) if extra == "all" else [extra])
        return f".[{extra}] by {tool}: {len(names)} distributions, imported"


def lock(constraints: Path, *options: str) -> None:
    """Resolve all requirements into the lock, without any address in it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "requirements.in"
        source.write_text("\n".join(requirements(ROOT)))
        run(
            "uv", "pip", "compile", "--universal", "--python-version", "3.10", "--no-header", "--no-annotate",
            "--no-emit-index-url", "--no-emit-find-links", *options, "-o", str(constraints), str(source),
        )  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run one of the commands named at the top."""
    command, *rest = arguments
    findings: list[str] = []
    if command == "all":
        findings = [finding for check in CHECKS.values() for finding in check(ROOT)]
    elif command == "wheels":
        findings = [finding for name in rest for finding in check_wheel(Path(name))]
    elif command == "install-wheels":
        install_wheels(Path(rest[0]).resolve(), rest[1])
    elif command == "extras":
        install_extras(rest[0], rest[1:])
    elif command == "lock":
        lock(Path(rest[0]), *rest[1:])
    else:
        raise SystemExit(f"unknown command {command!r}; one of: all, wheels, install-wheels, extras, lock")
    if findings:
        raise SystemExit("\n".join(findings))


if __name__ == "__main__":
    main(sys.argv[1:])
