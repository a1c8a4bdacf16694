"""Every code of the verifier: its failing example yields it, its mended one yields nothing, its traces play."""

from __future__ import annotations

import pytest

from orca.statemachine.catalogue import entries
from orca.statemachine.loading import load
from orca.statemachine.verify import VERIFY_CODES, Report, play, verify_document
from orca.statemachine.verify.diagnose import diagnose


def verified(text: str) -> Report:
    result = load(text, "example.orca")
    assert result.ok, [item.message for item in result.diagnostics]
    return verify_document(result.document)


def test_every_code_of_the_verifier_has_an_entry() -> None:
    assert set(VERIFY_CODES) <= set(entries())


@pytest.mark.parametrize("code", VERIFY_CODES)
def test_the_failing_example_yields_the_code(code: str) -> None:
    report = verified(entries()[code].failing)
    found = report.of(code)
    assert found, [(item.code, item.message) for item in report.findings]
    assert found[0].severity == VERIFY_CODES[code] or code == "PROPERTY_INVARIANT_FAIL"


@pytest.mark.parametrize("code", VERIFY_CODES)
def test_the_mended_example_yields_nothing(code: str) -> None:
    report = verified(entries()[code].mended)
    assert [item for item in report.findings if item.code == code] == []
    assert [(item.code, item.message) for item in report.findings if item.severity == "error"] == []


@pytest.mark.parametrize("code", VERIFY_CODES)
def test_the_traces_of_the_failing_example_play(code: str) -> None:
    result = load(entries()[code].failing)
    for finding in verify_document(result.document).findings:
        if finding.trace is None:
            continue
        machine = result.document.machine(finding.machine)
        played = play(machine, finding.trace)
        assert played.agrees
        assert bool(played.livelock) is (finding.code == "LIVELOCK")


@pytest.mark.parametrize("code", VERIFY_CODES)
def test_findings_have_a_place_in_the_text(code: str) -> None:
    for finding in verified(entries()[code].failing).of(code):
        item = diagnose(finding, "example.orca")
        assert item.span is not None
        assert item.file == "example.orca"
        assert item.to_json()["machine"] == finding.machine
