"""What is wrong with this installation, and what to do about each thing.

A check is a function that returns `Finding`s; packages add their own through the entry-point group
``orca.doctor``. ``orca doctor`` prints them. When a foreign package hides ours so that ``orca`` cannot even
start, the script ``orca-doctor`` does the same.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.metadata import distributions, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orca.common import _beside, cli
from orca.common._sources import find_upwards, read_json, read_pyproject
from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from importlib.metadata import EntryPoint

__all__ = [
    "DISTRIBUTIONS",
    "GROUP",
    "Finding",
    "check_commands",
    "check_compat",
    "check_files",
    "check_namespaces",
    "check_versions",
    "run_checks",
]

#: The entry-point group that packages add their checks to: functions without arguments.
GROUP = "orca.doctor"

#: The names that our packages share between them; nobody may put a regular package there.
NAMESPACES = ("orca", "orchestra")

#: The distributions that belong together and have one version.
DISTRIBUTIONS = (
    "orca-common",
    "orca-compat",
    "orca-orchestra",
    "orca-orchestrator",
    "orca-processor",
    "orca-statemachine",
    "orca-toolkit",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check looked at.

    Attributes:
        level: ``ok``, ``warning`` (it works, but) or ``error``.
        check: The check's name.
        message: What was found, naming paths, names and versions.
        fix: One line that puts it right, a command where there is one; empty only when all is well.

    Raises:
        UsageError: There is something to fix and no fix, or a fix of several lines.
    """

    level: Literal["ok", "warning", "error"]
    check: str
    message: str
    fix: str = ""

    def __post_init__(self) -> None:
        if "\n" in self.fix or bool(self.fix) is (self.level == "ok"):
            raise UsageError(f"finding {self.message!r}: give one line that fixes it, or none when it is ok")

    def to_json(self) -> dict[str, str]:
        """Return the finding as a dictionary."""
        return asdict(self)


def check_namespaces(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Look for regular packages and modules that take the place of our namespaces.

    One such package anywhere on the path hides every folder of the namespace that it does not contain.

    Args:
        path: The folders to look into; ``sys.path`` when None.

    Source: PEP 420, the section on finders.
    """
    folders = list(dict.fromkeys(entry or str(Path.cwd()) for entry in (sys.path if path is None else path)))
    for name in NAMESPACES:
        found = False
        for folder in folders:
            spec = PathFinder.find_spec(name, [folder])
            if spec is not None and spec.origin is not None and spec.loader is not None:
                found = True
                yield _intruder(name, Path(spec.origin))
        if not found:
            yield Finding("ok", "namespace", f"nobody else is called {name}")


def _intruder(name: str, origin: Path) -> Finding:
    owner = _owner(name, origin)
    if owner:
        whose, fix = f"the distribution {owner}", f"pip uninstall {owner}"
    elif "dist-packages" in origin.parts:
        whose = "the operating system"
        fix = "use an environment without the system's packages: python3 -m venv .venv"
    else:
        whose, fix = "no distribution", f"rename or remove {origin}"
    return Finding("error", "namespace", f"{origin} of {whose} takes the name {name} from us", fix)


def _owner(name: str, origin: Path) -> str:
    for distribution in distributions():
        for file in distribution.files or ():
            if (
                file.parts[0].partition(".")[0] == name
                and Path(str(distribution.locate_file(file))) == origin
            ):
                return distribution.name
    return ""


def check_versions(installed: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Look for versions of our distributions that do not belong together.

    Args:
        installed: Versions by distribution; those of the environment when None.
    """
    if installed is None:
        # The first on the path is the one that is imported.
        versions: dict[str, str] = {}
        for distribution in distributions():
            versions.setdefault(distribution.name, distribution.version)
    else:
        versions = dict(installed)
    ours = {name: versions[name] for name in DISTRIBUTIONS if name in versions}
    listed = ", ".join(f"{name} {version}" for name, version in ours.items())
    if len(set(ours.values())) > 1:
        newest = max(ours.values(), key=_version_key)
        pins = " ".join(f"{name}=={newest}" for name in ours)
        yield Finding("error", "versions", f"these do not belong together: {listed}", f"pip install {pins}")
    else:
        yield Finding("ok", "versions", listed)


def _version_key(version: str) -> list[tuple[int, str]]:
    # Numbers by value; anything else (a1, rc1, dev0) sorts before the number that a release has there.
    return [(int(part), "") if part.isdigit() else (-1, part) for part in version.split(".")]


def check_compat(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Look for published packages that provide the same modules as orca-compat.

    Args:
        path: The folders to look into; ``sys.path`` when None.
    """
    if _beside.COMPAT not in _beside.installed(path):
        return
    found = list(_beside.collisions(path))
    yield from (Finding("error", "compat", one.message, one.fix) for one in found)
    if not found:
        yield Finding("ok", "compat", f"nothing else provides {', '.join(_beside.PUBLISHED.values())}")


def check_commands() -> Iterator[Finding]:
    """Import every command of ``orca``."""
    try:
        commands = cli.find_commands()
    except OrcaError as error:
        yield Finding("error", "commands", error.message, error.hint)
        return
    faults = [fault for entry in commands.values() if (fault := _fault_of(entry))]
    yield from faults
    if not faults:
        yield Finding("ok", "commands", ", ".join(commands))


def _fault_of(entry: EntryPoint) -> Finding | None:
    try:
        cli.load_command(entry)
    except OrcaError as error:
        fix = error.hint if error.hint != "orca doctor" else ""
        return Finding(
            "error",
            "commands",
            error.message,
            fix.splitlines()[0] if fix else f"pip install --force-reinstall {cli.package_of(entry)}",
        )
    return None


def check_files(folder: Path | None = None) -> Iterator[Finding]:
    """Read the settings files that would be used here.

    Args:
        folder: Where the search begins and goes upwards; the working directory when None.
    """
    start = folder or Path.cwd()
    documents = [read_json(path) for path in find_upwards("orca.json", start)][:1]
    documents += [read_pyproject(path) for path in find_upwards("pyproject.toml", start)][:1]
    for document in documents:
        for fault in document.faults:
            yield Finding("error", "files", fault, f"correct {document.path}")
        if not document.faults:
            yield Finding("ok", "files", f"{document.path} can be read")
    if not documents:
        yield Finding("ok", "files", f"no orca.json or pyproject.toml from {start} upwards")


def run_checks() -> list[Finding]:
    """Run our checks and those of all installed packages; a check that fails itself is a finding too."""
    findings: list[Finding] = []
    for own in (check_namespaces, check_versions, check_compat, check_commands, check_files):
        findings.extend(own())
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        findings.extend(_run(entry))
    return findings


def _run(entry: EntryPoint) -> list[Finding]:
    package = cli.package_of(entry)
    try:
        check: Callable[[], Iterable[Finding]] = entry.load()
        return list(check())
    except Exception as error:  # noqa: BLE001  the doctor outlives every patient
        message = f"the check {entry.name} of {package} failed: {type(error).__name__}: {error}"
        return [Finding("error", entry.name, message, f"pip install --force-reinstall {package}")]
