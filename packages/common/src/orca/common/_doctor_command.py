"""The command ``orca doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orca.common.terminal import print_json, use_color, wants_json

if TYPE_CHECKING:
    from orca.common.doctor import Finding

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Find what is wrong with this installation and how to fix it.")

_COLORS = {"ok": "32", "warning": "33", "error": "1;31"}


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print for programs.")] = False,
) -> int:
    """Find what is wrong with this installation and how to fix it."""
    from orca.common.doctor import run_checks  # noqa: PLC0415  36 ms to import

    findings = run_checks()
    bad = any(finding.level == "error" for finding in findings)
    if json or wants_json():
        print_json({"ok": not bad, "findings": [finding.to_json() for finding in findings]})
    else:
        color = use_color(sys.stdout)
        sys.stdout.write("".join(_lines(finding, color=color) for finding in findings))
    return 1 if bad else 0


def _lines(finding: Finding, *, color: bool) -> str:
    level = f"{finding.level:7}"
    if color:
        level = f"\x1b[{_COLORS[finding.level]}m{level}\x1b[0m"
    fix = f"        fix: {finding.fix}\n" if finding.fix else ""
    return f"{level} {finding.check}: {finding.message}\n{fix}"
