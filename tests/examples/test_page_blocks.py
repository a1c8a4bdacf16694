"""The examples hold the programs of the seed documents, with our own import paths."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import seeds
from workspace_checks import ROOT

pytestmark = pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")
EXAMPLES = ROOT / "examples"


def statements(source: str) -> list[str]:
    """The statements of a block, imports and docstrings apart, whatever its layout."""
    tree = compile(source, "block", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    return [ast.dump(node) for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]


def all_statements(path: Path) -> set[str]:
    """Every statement of an example, however deep."""
    return {
        ast.dump(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.stmt)
    }


def blocks() -> dict[str, tuple[str, str]]:
    """By name: a block of a page, and the example that holds it."""
    if seeds.MISSING:
        return {}
    define, start, _, emitter, loop = seeds.processor_page()
    machine = seeds.machine_page()
    first, decorated, by_hand = seeds.orchestra_page()
    return {
        "define an algorithm": (define, "processor_page/processor.py"),
        "start the processor": (start, "processor_page/processor.py"),
        "emit a window": (emitter, "processor_page/window.py"),
        "emit on a schedule": (loop, "processor_page/window.py"),
        "the quick start": (machine.quick_start, "machine_page/quick_start.py"),
        "the machine": (machine.machine, "machine_page/main.py"),
        "the bus": (machine.bus, "machine_page/main.py"),
        "the effect": (machine.effects, "machine_page/main.py"),
        "set up a task": (first, "orchestra_page/decorated.py"),
        "the decorator": (decorated, "orchestra_page/decorated.py"),
        "updates by hand": (by_hand, "orchestra_page/by_hand.py"),
    }


@pytest.mark.parametrize("name", blocks())
def test_an_example_holds_the_block(name: str) -> None:
    block, place = blocks()[name]
    expected = statements(block)
    # The effect's block registers it on a bus that the page made before.
    assert expected
    missing = [one for one in expected if one not in all_statements(EXAMPLES / place)]
    assert missing == []


def test_the_game_is_the_page_s_own() -> None:
    text = (EXAMPLES / "machine_game" / "game.orca").read_text("utf-8")
    assert text.strip() == seeds.machine_page().language.strip()


@pytest.mark.parametrize("place", sorted({place for _, place in blocks().values()}))
def test_only_our_own_import_paths_are_used(place: str) -> None:
    tree = ast.parse((EXAMPLES / place).read_text("utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names & {"orca.processor", "orca.statemachine", "orchestra.sdk"}
    assert not {name for name in names if name and name.startswith(("orca_", "orchestra_"))}
