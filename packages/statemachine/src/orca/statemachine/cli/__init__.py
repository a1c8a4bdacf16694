"""``orca machine``: the command line of the language and its runtime.

Each module in `MODULES` adds its commands with ``add(app)``. They import what is heavy inside of the commands, so
that asking for help costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import typer

__all__ = ["MODULES", "app"]

MODULES: Final = ("_check", "_format", "_render", "_explain", "_simulate", "_stubs", "_watch", "_dev", "_run")
"""The modules of this package that bring commands, in the order of the help."""

app = typer.Typer(
    name="machine",
    help="Check, format, convert, draw and run state machines.",
    no_args_is_help=True,
    add_completion=False,
)

for _module in MODULES:
    import_module(f"{__name__}.{_module}").add(app)
