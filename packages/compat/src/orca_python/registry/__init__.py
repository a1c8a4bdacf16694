"""What ``orca sync`` wrote: stubs of the algorithms, window types and metadata fields of other processors.

The modules come from the nearest ``.orca/registry`` or ``registry`` folder, from the working directory upwards.
"""

from __future__ import annotations

from pathlib import Path

LEVELS_MAX = 64
"""Folders looked into on the way up: deeper trees do not occur, and a loop of mounts must end."""


def _stubs() -> list[str]:
    here = Path.cwd()
    for folder in (here, *here.parents)[:LEVELS_MAX]:
        for place in (folder / ".orca" / "registry", folder / "registry"):
            if (place / "algorithms.py").is_file():
                return [str(place)]
    return []


__path__ = [*_stubs(), *__path__]
