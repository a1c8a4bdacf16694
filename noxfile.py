"""Everything that is done to this repository by a machine. ``nox -l`` lists it; ``nox`` alone runs the defaults.

Works with uv (fast) and without it. Pythons that are not on this machine are left out, never downloaded.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nox
from nox.project import dependency_groups, load_toml

ROOT = Path(__file__).parent.resolve()
PACKAGES = ["common", "statemachine", "orchestra", "processor", "orchestrator", "compat"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
HOME = f"{sys.version_info.major}.{sys.version_info.minor}"  # the Python that runs nox
EXTRAS = ["common", "processor", "orchestrator", "statemachine", "orchestra", "compat", "all"]
CONSTRAINTS = "constraints.txt"

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "generate",
    "workspace",
    "wheels",
    "extras",
    f"tests-{HOME}",
    "tests_edges",
    "docs",
    "examples",
    "integration",
]


def _show_pyenv_versions() -> None:
    """Let pyenv's shims find every version that is installed, those chosen already first."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    # A shim that started this very process has chosen its own version, and would hide the others.
    names = [name for name in os.environ.get("PYENV_VERSION", "").split(":") if name]
    for name in (HOME, *PYTHONS):
        found = sorted(path.name for path in versions.glob(f"{name}.*"))
        names += [latest for latest in found[-1:] if latest not in names]
    if versions.is_dir() and names:
        os.environ["PYENV_VERSION"] = ":".join(names)


_show_pyenv_versions()


# --- what the sessions share ---------------------------------------------------------------------------


def ids(packages: list[str]) -> list[object]:
    """Parameters that read as ``tests-3.11(common)`` in the list of sessions."""
    return [nox.param(package, id=package) for package in packages]


def closure(*packages: str) -> list[str]:
    """The packages and the siblings that they declare, in no other order than found first."""
    found: list[str] = []
    todo = list(packages)
    while todo:
        package = todo.pop(0)
        if package in found:
            continue
        found.append(package)
        project = load_toml(ROOT / "packages" / package / "pyproject.toml")["project"]
        names = [requirement.split("==")[0].strip() for requirement in project["dependencies"]]
        todo += [other for other in PACKAGES if f"orca-{other}" in names]
    return found


def group(name: str, *packages: str) -> list[str]:
    """The requirements of a dependency group in the root and in each of the packages that has it."""
    found: list[str] = []
    for folder in [ROOT, *(ROOT / "packages" / package for package in packages)]:
        table = load_toml(folder / "pyproject.toml")
        if name in table.get("dependency-groups", {}):
            found += dependency_groups(table, name)
    return found


def extras_of(package: str) -> str:
    """The package's own extras, as a suffix for a requirement, so that its tests cover them too."""
    project = load_toml(ROOT / "packages" / package / "pyproject.toml")["project"]
    names = sorted(project.get("optional-dependencies", {}))
    return f"[{','.join(names)}]" if names else ""


def install(session: nox.Session, *packages: str, groups: tuple[str, ...] = ("test",)) -> None:
    """Install packages with nothing but their own closure, editable, and the named dependency groups."""
    arguments: list[str] = []
    for package in closure(*packages):
        suffix = extras_of(package) if package in packages else ""
        arguments += ["-e", f"./packages/{package}{suffix}"]
    for name in groups:
        arguments += group(name, *packages)
    # Generators are pinned to the oldest tools whose output everybody can load: the lock does not know them.
    locked = () if "generate" in groups else ("-c", CONSTRAINTS)
    session.install("-q", *locked, *arguments)


def unseen(package: str) -> str:
    """The declared requirements of a package that deptry cannot find in the code, as its option wants them."""
    project = load_toml(ROOT / "packages" / package / "pyproject.toml")["project"]
    optional = [item for items in project.get("optional-dependencies", {}).values() for item in items]
    marked = [item for item in project["dependencies"] if ";" in item]
    names = {re.split(r"[ \[<>=!;]", item)[0] for item in [*optional, *marked]}
    siblings = {f"orca-{other}" for other in PACKAGES}
    return "DEP002=" + "|".join(sorted(names | siblings))


RESULTS: list[Path] = []


def pytest(
    session: nox.Session, *arguments: str, coverage: str = "", env: dict[str, str] | None = None
) -> None:
    """Run pytest on two processes, as much as the smallest machine bears; its counts go into the closing line."""
    report = Path(session.create_tmp()) / f"junit-{len(RESULTS)}.xml"
    report.unlink(missing_ok=True)
    RESULTS.append(report)
    runner = ["coverage", "run", f"--rcfile={coverage}", "-m", "pytest"] if coverage else ["pytest", "-n2"]
    session.run("python", "-m", *runner, f"--junit-xml={report}", "-q", *arguments, *session.posargs, env=env)


@atexit.register
def _closing_line() -> None:
    reports = [ET.parse(path).getroot() for path in RESULTS if path.exists()]
    suites = [suite for report in reports for suite in report.iter("testsuite")]
    if not suites:
        return
    total, failed, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites for name in names)
        for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    sys.stderr.flush()
    print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped", flush=True)


# --- the main job ---


@nox.session(python=HOME)
def demo(session: nox.Session) -> None:
    """A year of real weather through windows, algorithms, a state machine and task reporting."""
    install(session, *PACKAGES, groups=("demo",))
    session.run("python", "examples/weather_station/run.py", *session.posargs)


# --- checks --------------------------------------------------------------------------------------------


@nox.session(python=HOME)
def lint(session: nox.Session) -> None:
    """Style, spelling and declared dependencies: ruff, codespell, deptry."""
    install(session, *PACKAGES, groups=("lint",))  # deptry reads the names of modules from what is installed
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell", "--toml", "pyproject.toml")
    for package in PACKAGES:
        # Extras and what only some platforms have are loaded by name, out of deptry's sight.
        # Siblings share one namespace, which deptry cannot tell apart: import-linter and the workspace checks do.
        with session.chdir(f"packages/{package}"):
            session.run(
                "deptry", "src", "-kf", "orca", "-kf", "orchestra", "--per-rule-ignores", unseen(package)
            )


@nox.session(python=HOME)
def types(session: nox.Session) -> None:
    """Types, strict, by two checkers: mypy and pyright."""
    install(session, *PACKAGES, groups=("types", "test"))
    sources = [f"packages/{package}/src" for package in PACKAGES]
    session.run("mypy", *sources, "tests/typing")
    session.run("pyright", *sources, "tests/typing", env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


@nox.session(python=HOME)
def imports(session: nox.Session) -> None:
    """Who may import whom: import-linter over all packages, kernels included."""
    install(session, *PACKAGES, groups=("imports",))
    session.run("lint-imports", "--config", ".importlinter", "--no-cache")


@nox.session(python=HOME)
def generate(session: nox.Session) -> None:
    """Write generated files; ``nox -s generate -- --check`` (and the default run) only compares."""
    install(session, *PACKAGES, groups=("generate",))
    # As a default session nothing may be written: a clean clone must already be right.
    explicit = any(argument in ("-s", "--session", "--sessions", "-e") for argument in sys.argv)
    check = session.posargs or ([] if explicit else ["--check"])
    session.run("python", "tests/support/importlinter_config.py", *check)
    for script in sorted(ROOT.glob("packages/*/generate.py")):
        session.run("python", str(script.relative_to(ROOT)), *check)
    # Last: it reads the code, what is generated included.
    session.run("python", "tests/support/reference_pages.py", *check)


@nox.session(python=HOME)
def workspace(session: nox.Session) -> None:
    """Facts about the repository, and proof that each check notices what it is for."""
    install(session, *PACKAGES, groups=("test", "imports", "generate", "build"))
    pytest(session, "tests/workspace")


# --- tests ---------------------------------------------------------------------------------------------


@nox.session(python=PYTHONS)
@nox.parametrize("package", ids(PACKAGES))
def tests(session: nox.Session, package: str) -> None:
    """A package's own suite and its doctests, with nothing else installed."""
    install(session, package)
    _package_tests(session, package)


@nox.session(python=[PYTHONS[0], PYTHONS[-1]])
def tests_edges(session: nox.Session) -> None:
    """Every package's unit tests on the oldest and the newest Python."""
    install(session, *PACKAGES)
    pytest(session, *(f"packages/{package}/tests/unit" for package in PACKAGES))


def _package_tests(session: nox.Session, package: str) -> None:
    # Support modules are no tests; some belong to the environments of published packages.
    ignored = f"--ignore-glob=packages/{package}/tests/support_*"
    pytest(session, f"packages/{package}/tests", "--doctest-modules", f"packages/{package}/src", ignored)


@nox.session(python=HOME)
def property(session: nox.Session) -> None:
    """Property tests with many more examples than the suites take."""
    install(session, *PACKAGES)
    folders = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("packages/*/tests/property"))]
    options = ["-p", "hypothesis_profiles", "--hypothesis-profile=thorough"]
    pytest(session, *options, *folders, env={"PYTHONPATH": "tests/support"})


@nox.session(python=HOME)
def integration(session: nox.Session) -> None:
    """Several packages together, over real sockets, with real servers and a real browser."""
    install(session, *PACKAGES, groups=("test", "demo"))
    folders = [folder for folder in ("tests/integration", "tests/e2e") if (ROOT / folder).is_dir()]
    pytest(session, *folders)


@nox.session(python=HOME)
def screenshots(session: nox.Session) -> None:
    """Pictures of every page of the dashboard, into reports/screenshots; the best ones replace those of docs/."""
    install(session, *PACKAGES, groups=("test", "demo"))
    session.run("python", "tests/support/screenshots.py", "--docs", "docs/howto", *session.posargs)


@nox.session(python=HOME)
def docs(session: nox.Session) -> None:
    """The documentation: every block is run, then the site is built, strictly."""
    install(session, *PACKAGES, groups=("test", "docs"))
    pages = ["README.md", "CONTRIBUTING.md", "docs", *sorted(f"packages/{p}/README.md" for p in PACKAGES)]
    # The blocks of a page build on each other.
    pytest(session, "--dist=loadfile", "-p", "markdown_blocks", *pages, env={"PYTHONPATH": "tests/support"})
    session.run("zensical", "build", "--strict", "--clean")


@nox.session(python=HOME)
def examples(session: nox.Session) -> None:
    """Every example is run and compared with its expected output."""
    install(session, *PACKAGES)
    pytest(session, "tests/examples")


@nox.session(python=PYTHONS[0])
@nox.parametrize("package", ids(PACKAGES))
def lowest(session: nox.Session, package: str) -> None:
    """A package's suite with the oldest dependencies that it admits."""
    _resolved(session, package, "lowest-direct")


@nox.session(python=PYTHONS[-1])
@nox.parametrize("package", ids(PACKAGES))
def newest(session: nox.Session, package: str) -> None:
    """A package's suite with the newest dependencies, the lock left aside."""
    _resolved(session, package, "highest")


def _resolved(session: nox.Session, package: str, resolution: str) -> None:
    session.install("-q", "uv")
    folders = [f"-e./packages/{name}" for name in closure(package)[1:]]
    requirements = [f"-e./packages/{package}{extras_of(package)}", *folders, *group("test", package)]
    target = session.virtualenv.location + ("/bin/python")
    session.run("uv", "pip", "install", "-q", "--python", target, "--resolution", resolution, *requirements)
    session.run("uv", "pip", "freeze", "--python", target)
    _package_tests(session, package)


@nox.session(python=HOME)
@nox.parametrize("package", ids(PACKAGES))
def coverage(session: nox.Session, package: str) -> None:
    """Branch coverage of a package from its own suite, against the floor in its pyproject."""
    install(session, package)
    name = load_toml(ROOT / "packages" / package / "pyproject.toml")["tool"]["uv"]["build-backend"][
        "module-name"
    ]
    modules = [name] if isinstance(name, str) else name
    own = load_toml(ROOT / "packages" / package / "pyproject.toml")["tool"]["orca-workspace"]
    floor = own["branch-coverage"]
    # source_pkgs counts modules that nothing imports too; a namespace's name would count whatever is installed in it.
    lines = [
        "[run]",
        "branch = true",
        "parallel = true",
        # Where it is asked for, what a test starts as a process of its own counts too, however it ends.
        *(["patch = subprocess, _exit", "sigterm = true"] if own.get("coverage-of-processes") else []),
        "source_pkgs =",
        *(f"    {module}" for module in modules),
    ]
    excluded = load_toml(ROOT / "pyproject.toml")["tool"]["coverage"]["report"]["exclude_also"]
    lines += [
        "[report]",
        "show_missing = true",
        "skip_covered = true",
        "exclude_also =",
        *(f"    {x}" for x in excluded),
    ]
    config = Path(session.create_tmp()) / "coverage.ini"
    config.write_text("\n".join(lines))
    session.run("coverage", "erase")
    pytest(session, f"packages/{package}/tests", coverage=str(config))
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", f"--rcfile={config}", f"--fail-under={floor}")


# --- distributions -------------------------------------------------------------------------------------


@nox.session(python=HOME)
def build(session: nox.Session) -> None:
    """Build every distribution, sdist first and the wheel from it, into dist/."""
    _build(session)


def _build(session: nox.Session) -> list[str]:
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.install("-q", "-c", CONSTRAINTS, *group("build"))
    for package in [*PACKAGES, "toolkit"]:
        session.run(
            "python", "-m", "build", "-q", "--no-isolation", "--outdir", "dist", f"packages/{package}"
        )
    wheels = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "dist").glob("*.whl"))
    session.run("python", "tests/support/workspace_checks.py", "wheels", *wheels)
    return wheels


@nox.session(python=HOME, reuse_venv=False)
def wheels(session: nox.Session) -> None:
    """Build the wheels, look inside them, and use each alone in a clean environment."""
    _build(session)
    session.run("python", "tests/support/workspace_checks.py", "install-wheels", "dist", CONSTRAINTS)


@nox.session(python=HOME, reuse_venv=False)
def extras(session: nox.Session) -> None:
    """`pip install ".[extra]"` from the checkout, by pip and by uv: works, and brings nothing of the others."""
    session.install("-q", "uv", "pip")
    session.run("python", "tests/support/workspace_checks.py", "extras", CONSTRAINTS, *EXTRAS)


@nox.session(python=HOME)
def lock(session: nox.Session) -> None:
    """Resolve every requirement of the repository anew into constraints.txt, for pip and uv alike."""
    session.install("-q", "uv", "packaging")
    session.run("python", "tests/support/workspace_checks.py", "lock", CONSTRAINTS, *session.posargs)


# --- measurements --------------------------------------------------------------------------------------


@nox.session(python=HOME)
@nox.parametrize("package", ids(["common", "processor", "orchestrator", "statemachine", "orchestra"]))
def bench(session: nox.Session, package: str) -> None:
    """Benchmarks side by side with the peers; prints ratios."""
    install(session, *PACKAGES, groups=("test", "bench"))  # several compare packages with each other
    session.run(
        "python", f"benchmarks/{package}/run.py", *session.posargs, env={"PYTHONPATH": "tests/support"}
    )


@nox.session(python=HOME)
@nox.parametrize("package", ids(["processor", "orchestrator", "statemachine", "orchestra"]))
def reliability(session: nox.Session, package: str) -> None:
    """Full-size fault injection; writes a report page into reports/."""
    install(session, package)
    arguments = session.posargs or ["--size", "full", "--report", f"reports/reliability-{package}.md"]
    script = f"tests/reliability/{package}/run.py"
    session.run("python", script, *arguments, env={"PYTHONPATH": "tests/support"})
