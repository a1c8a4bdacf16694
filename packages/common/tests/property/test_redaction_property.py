"""Wherever a known secret hides in a record, the line does not show it, and everything else stays."""

from __future__ import annotations

import copy
import io
import json
import logging
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from orca.common.logging import RedactionFilter, configure_logging

SECRET = "s3cr3t-v\u00e4l\\ue'\"x\n?"

words = st.text("abcxyz =:/%{}\n\"'", max_size=12)
secret = st.tuples(words, words).map(lambda around: around[0] + SECRET + around[1])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | secret | st.just(SECRET.encode())
trees: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(words | secret, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(message=words | secret, args=st.lists(trees, max_size=3), extra=trees, error=st.none() | secret)
@example(message="%s", args=[{SECRET: 1}], extra=None, error=None)
@example(message="%d", args=[SECRET], extra=None, error=SECRET)
def test_a_known_secret_is_in_no_line(message: str, args: list[Any], extra: Any, error: str | None) -> None:
    failure = None if error is None else ValueError(error)
    record = logging.LogRecord(
        "any", logging.INFO, "file.py", 1, message, tuple(args), failure and (ValueError, failure, None)
    )
    record.extra = extra
    root = logging.getLogger()
    for form in ("json", "console"):
        out = io.StringIO()
        handler = configure_logging(form, stream=out, redact=[SECRET])  # type: ignore[arg-type]
        try:
            handler.handle(copy.copy(record))
        finally:
            root.removeHandler(handler)
        text = out.getvalue()
        assert text, "a record may be masked, but never lost"
        assert "s3cr3t" not in text
        if form == "json":
            line = json.loads(text)
            assert line["level"] == "info"
            assert ("exception" in line) is (failure is not None)


@given(trees)
def test_masking_twice_changes_nothing(value: Any) -> None:
    mask = RedactionFilter([SECRET])
    record = logging.makeLogRecord({"value": value})
    mask.filter(record)
    once = record.value  # type: ignore[attr-defined]
    mask.filter(record)
    assert repr(record.value) == repr(once)  # type: ignore[attr-defined]
