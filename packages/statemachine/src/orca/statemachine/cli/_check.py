"""``orca machine check``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.cli._inputs import Input
    from orca.statemachine.loading import LoadResult

__all__ = ["add", "verified"]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Apply mechanical mends to the files.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="Print a SARIF 2.1.0 log.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Explore what the machines can do.")
    ] = True,
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="Configurations to explore for each machine.")
    ] = 20_000,
    level: Annotated[
        list[str] | None, typer.Option("--level", help="CODE=error, warning, info or off; repeatable.")
    ] = None,
) -> int:
    """Report everything that is wrong with definitions, and with what the machines can do.

    Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.
    """
    from orca.common.terminal import print_json  # noqa: PLC0415
    from orca.statemachine.cli._inputs import print_findings, read_inputs, summary  # noqa: PLC0415

    levels = _levels(level or ())
    results = [_mended(item) if fix else _loaded(item) for item in read_inputs(paths)]
    if verify:
        results = [verified(result, budget, levels) for result in results]
    findings = [finding for result in results for finding in result.diagnostics]
    if as_sarif:
        from orca.statemachine import __version__  # noqa: PLC0415
        from orca.statemachine.catalogue import entries  # noqa: PLC0415
        from orca.statemachine.sarif import to_sarif  # noqa: PLC0415

        titles = {code: entry.title for code, entry in entries().items()}
        print_json(to_sarif(findings, titles, version=__version__))
    elif as_json:
        print_json({"files": len(results), "diagnostics": [finding.to_json() for finding in findings]})
    else:
        for result in results:
            print_findings(result, result.diagnostics)
        sys.stdout.write(f"{summary(len(results), findings)}\n")
    bad = {"error", "warning"} if strict else {"error"}
    return 1 if any(finding.severity in bad for finding in findings) else 0


def _levels(given: Sequence[str]) -> dict[str, str]:
    """``CODE=severity`` pairs.

    Raises:
        UsageError: A pair has another form, or names no code or severity.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.statemachine.verify import VERIFY_CODES  # noqa: PLC0415

    found: dict[str, str] = {}
    for pair in given:
        code, _, severity = pair.partition("=")
        if code not in VERIFY_CODES or severity not in {"error", "warning", "info", "off"}:
            hint = "--level INCOMPLETE_EVENT_HANDLING=off; the codes: orca machine explain --list"
            raise UsageError(
                f"`{pair}` is not CODE=error, warning, info or off of a verifier code", hint=hint
            )
        found[code] = severity
    return found


def verified(result: LoadResult, budget: int, levels: Mapping[str, str]) -> LoadResult:
    """The findings of loading and, when the text has no error, those of the verifier, in one order.

    Args:
        result: What loading gave.
        budget: Configurations to explore for each machine.
        levels: Severities by code that differ from the usual ones.
    """
    if not result.ok:
        return result
    from dataclasses import replace  # noqa: PLC0415

    from orca.statemachine.verify import Options, verify_document  # noqa: PLC0415
    from orca.statemachine.verify.diagnose import diagnose  # noqa: PLC0415
    from orca.statemachine.verify.solver import solve_with_z3, z3_is_there  # noqa: PLC0415

    solver = solve_with_z3 if z3_is_there() else None
    report = verify_document(result.document, options=Options(budget, levels, solver))
    machines = {machine.name: machine for machine in result.document.machines}
    found = [
        *result.diagnostics,
        *(diagnose(item, result.source.name, machines.get(item.machine)) for item in report.findings),
    ]
    return replace(result, diagnostics=tuple(sorted(found, key=lambda item: item.sort_key())))


def _loaded(item: Input) -> LoadResult:
    from orca.statemachine.loading import load  # noqa: PLC0415

    return load(item.text, item.name, notation=item.notation)


MAX_ROUNDS = 5
"""How often mends are applied: each round may uncover findings that an error hid, and most need one."""


def _mended(item: Input) -> LoadResult:
    """Apply mends until there are none left; a file is written only when something changed."""
    from orca.statemachine.cli._inputs import Input  # noqa: PLC0415
    from orca.statemachine.diagnostics import apply_edits  # noqa: PLC0415

    text = item.text
    result = _loaded(item)
    for _ in range(MAX_ROUNDS):
        edits = [edit for finding in result.diagnostics for edit in finding.edits]
        if not edits:
            break
        text = apply_edits(result.source.text, edits)
        result = _loaded(Input(item.name, text, item.path))
    if text != item.text:
        if item.path is not None:
            item.path.write_bytes(text.encode("utf-8"))
        else:
            sys.stderr.write(text)
    return result
