"""Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the lines.

Source: OASIS, Static Analysis Results Interchange Format Version 2.1.0, sections 3.14, 3.27, 3.30, and 3.36 to 3.38
for the runs that show a finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.diagnostics import Diagnostic, FlowStep
    from orca.statemachine.span import Span

__all__ = ["to_sarif"]

_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}


def to_sarif(
    diagnostics: Sequence[Diagnostic], titles: Mapping[str, str], *, version: str
) -> dict[str, object]:
    """A SARIF log with one run.

    Args:
        diagnostics: The findings.
        titles: What each code means, in a few words.
        version: The version of this package.
    """
    codes = list(dict.fromkeys(item.code for item in diagnostics))
    rules = [{"id": code, "shortDescription": {"text": titles.get(code, code)}} for code in codes]
    results = [_result(item, codes.index(item.code)) for item in diagnostics]
    driver = {"name": "orca machine", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(item: Diagnostic, index: int) -> dict[str, object]:
    text = f"{item.message}; {item.suggestion}" if item.suggestion else item.message
    found: dict[str, object] = {
        "ruleId": item.code,
        "ruleIndex": index,
        "level": _LEVELS[item.severity],
        "message": {"text": text},
        "locations": [_location(item.file, item.span)],
    }
    if item.related:
        found["relatedLocations"] = [
            {**_location(item.file, related.span), "message": {"text": related.message}}
            for related in item.related
        ]
    if item.edits:
        replacements = [
            {
                "deletedRegion": {"charOffset": edit.start, "charLength": edit.end - edit.start},
                "insertedContent": {"text": edit.text},
            }
            for edit in item.edits
        ]
        change = {"artifactLocation": _artifact(item.file), "replacements": replacements}
        found["fixes"] = [
            {"description": {"text": item.suggestion or "mend it"}, "artifactChanges": [change]}
        ]
    if item.flow:
        steps = [_flow_location(item.file, step, place) for place, step in enumerate(item.flow)]
        found["codeFlows"] = [{"message": {"text": "a shortest run"}, "threadFlows": [{"locations": steps}]}]
    return found


def _flow_location(file: str, step: FlowStep, place: int) -> dict[str, object]:
    return {
        "location": {**_location(file, step.span), "message": {"text": step.message}},
        "executionOrder": place,
        "state": {name: {"text": value} for name, value in step.values.items()},
    }


def _artifact(file: str) -> dict[str, object]:
    """A file as a reference by RFC 3986: relative ones stay relative, whatever characters they have."""
    path = quote(file.replace("\\", "/"), safe="/")
    return {"uri": f"file://{path}" if path.startswith("/") else path}


def _location(file: str, span: Span | None) -> dict[str, object]:
    physical: dict[str, object] = {"artifactLocation": _artifact(file)}
    if span is not None:
        physical["region"] = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
    return {"physicalLocation": physical}
