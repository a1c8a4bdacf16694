"""The comparison of signatures sees what a caller would notice, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from names_dump import describe
from signatures import difference


def there(a: int, b: str = "x", *, c: float = 30) -> None: ...


def same(a: int, b: str = "x", *, c: float = 30.0) -> None: ...
def more(a: int, b: str = "x", d: int = 1, *, c: float = 30, **rest: Any) -> None: ...
def anything(*values: Any, **options: Any) -> None: ...


def renamed(z: int, b: str = "x", *, c: float = 30) -> None: ...
def reordered(b: str = "x", a: int = 0, *, c: float = 30) -> None: ...
def another_default(a: int, b: str = "y", *, c: float = 30) -> None: ...
def no_default(a: int, b: str, *, c: float = 30) -> None: ...
def keyword_only(a: int, *, b: str = "x", c: float = 30) -> None: ...
def needs_more(a: int, b: str = "x", *, c: float = 30, d: int) -> None: ...


@pytest.mark.parametrize("here", [there, same, more, anything])
def test_what_can_be_called_alike_does_not_differ(here: Any) -> None:
    assert difference(describe(there), describe(here)) == ""


@pytest.mark.parametrize(
    ("here", "text"),
    [
        (renamed, "a is not at place 1; a is gone; z is needed"),
        (reordered, "a is not at place 1; b is not at place 2"),
        (another_default, "b is 'y' and not 'x'"),
        (no_default, "b is required and not 'x'"),
        (keyword_only, "b is not at place 2"),
        (needs_more, "d is needed"),
        (int, "is a class here"),
    ],
)
def test_what_cannot_is_named(here: Any, text: str) -> None:
    assert difference(describe(there), describe(here)) == text


def test_a_value_and_a_name_that_is_gone_are_named() -> None:
    assert difference(describe(3), describe(4)) == "is 4 and not 3"
    assert difference(describe(3), None) == "is not here"
