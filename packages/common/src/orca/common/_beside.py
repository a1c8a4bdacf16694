"""Published packages beside orca-compat: both bring the same modules, and whichever was installed last has its files.

Only names of folders and the beginning of one file per module are read, so that every command can afford to look.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["COMPAT", "PUBLISHED", "Collision", "collisions", "installed"]

COMPAT: Final = "orca-compat"

#: The published distributions that orca-compat stands in for, and the module that both of them provide.
PUBLISHED: Final = {
    "orca-python": "orca_python",
    "orca-runtime-python": "orca_runtime_python",
    "orchestra-sdk": "orchestra_sdk",
}

#: Our modules name their distribution, because they refuse to run beside the other one.
_OURS: Final = b"orca-compat"


class Collision(NamedTuple):
    """A module that two distributions wrote, or that one of them took away.

    Attributes:
        module: The module.
        message: What is the case.
        fix: One line that puts it right.
    """

    module: str
    message: str
    fix: str


def installed(path: Sequence[str] | None = None) -> dict[str, str]:
    """Return the versions of orca-compat and of the published distributions that are installed."""
    found: dict[str, str] = {}
    for folder in _folders(path):
        try:
            entries = os.listdir(folder)  # noqa: PTH208  pathlib costs every command more than the look itself
        except OSError:
            continue  # a zip file, or not there
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")):
                name, _, version = entry.rpartition(".")[0].partition("-")
                known = name.replace("_", "-").replace(".", "-").lower()
                if known == COMPAT or known in PUBLISHED:
                    found.setdefault(known, version)
    return found


def collisions(path: Sequence[str] | None = None) -> Iterator[Collision]:
    """Look for published distributions beside orca-compat, and for modules that it has lost to them.

    Args:
        path: The folders to look into; ``sys.path`` when None.
    """
    versions = installed(path)
    if COMPAT not in versions:
        return
    for name, module in PUBLISHED.items():
        ours = _is_ours(module, path)
        again = f"pip install --force-reinstall --no-deps {COMPAT}"
        if name in versions:
            runs = f"refuses to run, because the files of {COMPAT} are there" if ours else f"runs {name}"
            message = (
                f"{name} {versions[name]} and {COMPAT} both provide '{module}'; now `import {module}` {runs}"
            )
            yield Collision(module, message, f"pip uninstall -y {name} && {again}")
        elif not ours:
            message = (
                f"{COMPAT} is installed and its module '{module}' is not: another package that has files of the same "
                "names was installed over it, or uninstalled"
            )
            yield Collision(module, message, again)


def _folders(path: Sequence[str] | None) -> list[str]:
    return [entry or os.curdir for entry in dict.fromkeys(sys.path if path is None else path)]


def _is_ours(module: str, path: Sequence[str] | None) -> bool:
    inits = (f"{folder}{os.sep}{module}{os.sep}__init__.py" for folder in _folders(path))
    first = next(filter(os.path.isfile, inits), None)  # the one that an import takes
    if first is None:
        return False
    with open(first, "rb") as init:  # noqa: PTH123  as above
        return _OURS in init.read()
