"""Every code has an entry, its failing example yields it, and its mended example yields nothing."""

from __future__ import annotations

import pytest

from orca.common.errors import UsageError
from orca.statemachine.catalogue import entries, explain
from orca.statemachine.codes import LOAD_CODES
from orca.statemachine.diagnostics import apply_edits
from orca.statemachine.loading import load

CODES = sorted(LOAD_CODES)


def found(text: str) -> list[str]:
    return [item.code for item in load(text).diagnostics]


def test_every_code_of_loading_has_an_entry() -> None:
    assert set(LOAD_CODES) <= set(entries())


@pytest.mark.parametrize("code", CODES)
def test_the_failing_example_fails_with_the_code(code: str) -> None:
    result = load(entries()[code].failing, "example.orca")
    assert code in [item.code for item in result.diagnostics]
    first = next(item for item in result.diagnostics if item.code == code)
    assert first.severity == LOAD_CODES[code]
    assert first.span is not None
    assert first.file == "example.orca"


@pytest.mark.parametrize("code", CODES)
def test_the_mended_example_is_clean(code: str) -> None:
    assert found(entries()[code].mended) == []


MECHANICAL = [
    *("UNKNOWN_STATE", "UNKNOWN_EVENT", "UNKNOWN_GUARD", "UNKNOWN_ACTION", "UNKNOWN_FIELD", "UNKNOWN_EFFECT"),
    *(
        "NO_INITIAL_STATE",
        "BARE_DURATION",
        "SINGLE_EQUALS",
        "UNKNOWN_ON_DONE_EVENT",
        "UNKNOWN_ON_ERROR_EVENT",
    ),
    *("HEADING_SKIPPED", "UNKNOWN_SECTION", "UNKNOWN_BULLET", "UNKNOWN_COLUMN", "PROPERTY_INVALID_STATE"),
    *("PROPERTY_INVARIANT_INVALID", "DT_UNKNOWN_CONDITION_COLUMN", "DT_UNKNOWN_ACTION_COLUMN"),
]


@pytest.mark.parametrize("code", MECHANICAL)
def test_mechanical_mends_leave_nothing_to_report(code: str) -> None:
    text = entries()[code].failing
    edits = [edit for item in load(text).diagnostics for edit in item.edits]
    assert edits
    assert found(apply_edits(text, edits)) == []


def test_codes_are_found_in_any_case() -> None:
    assert explain("syntax").code == "SYNTAX"


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no code `UNKNOWN_STAT`") as caught:
        explain("UNKNOWN_STAT")
    assert "UNKNOWN_STATE" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        explain("zzz")
    assert "--list" in caught.value.hint
