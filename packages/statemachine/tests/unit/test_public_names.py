"""Public names are what they say, whatever was imported before them."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module
from itertools import permutations
from types import ModuleType

import pytest

import orca.statemachine

ORDERS = [
    *permutations(
        (
            "import orca.statemachine.loading",
            "from orca.statemachine.cli import app",
            "from orca.statemachine import parse_orca",
        )
    ),
    ("import orca.statemachine.formatting", "import orca.statemachine.outputs.svg"),
    ("from orca.statemachine import *",),
    (),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "; ".join(order)[:60] or "nothing")
def test_load_is_the_function_whatever_was_imported_before(order: tuple[str, ...]) -> None:
    lines = [
        *order,
        "from orca.statemachine import load",
        "assert load('machine M\\nstate a [initial]').ok, load",
        "import orca.statemachine as package",
        "assert package.load is load",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)


PACKAGES = [
    "orca.statemachine",
    *(
        item.name
        for item in pkgutil.walk_packages(orca.statemachine.__path__, "orca.statemachine.")
        if item.ispkg
    ),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_hides_a_public_name_of_its_package(name: str) -> None:
    package = import_module(name)
    for item in pkgutil.iter_modules(package.__path__):
        import_module(f"{name}.{item.name}")
    public = {public: getattr(package, public) for public in getattr(package, "__all__", ())}
    assert [public for public, value in public.items() if isinstance(value, ModuleType)] == []


def test_every_public_name_is_there() -> None:
    for name in orca.statemachine.__all__:
        assert getattr(orca.statemachine, name) is not None
    assert set(orca.statemachine.__all__) <= set(dir(orca.statemachine))
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        orca.statemachine.loads  # noqa: B018 - asking is the test
