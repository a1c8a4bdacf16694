"""Mutation score of the engine: how many small faults its tests notice.

    python benchmarks/statemachine/mutate.py [--count N] [--seed N] [--modules NAME...]
    python benchmarks/statemachine/mutate.py --coverage

Makes single changes to the modules of the engine (comparisons, and/or, not, numbers, booleans, break/continue,
plus/minus, a statement left out, None returned in place of a value), and runs the engine's own tests against each in a
copy of the package: the corpus, the edge cases and forty generated machines. A change that no test notices is printed.
Without ``--count`` every change is tried; ends with 1 below 80 %. ``--coverage`` tells the branch coverage of the
engine from the same tests instead; ends with 1 below 100 %.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "packages" / "statemachine"
MODULES = ("compiled", "driver", "errors", "plan", "reference", "types", "work")
TESTS = (
    "tests/contract/test_scxml_corpus.py",
    "tests/unit/test_engine_edges.py",
    "tests/unit/test_engine_details.py",
    "tests/property/test_engines_agree.py::test_generated_machines_do_something",
)
LEAST = 80
"""What part of the changes has to be noticed, in hundredths."""
CPU_S = 60
"""Of its own processor time; a busy machine makes nothing look noticed. The tests take two seconds."""
WAIT_S = 1_800
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip


def places(tree: ast.Module) -> list[tuple[int, int]]:
    """What can be changed: number of the node in a walk, and which of its parts."""
    found: list[tuple[int, int]] = []
    hidden = {id(n) for a in ast.walk(tree) for n in _hidden(a)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Compare):
            found += [(number, part) for part, op in enumerate(node.ops) if type(op) in SWAPS]
        elif (
            isinstance(node, ast.BoolOp | ast.Break | ast.Continue)
            or (isinstance(node, ast.BinOp) and type(node.op) in SWAPS)
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
            or (isinstance(node, ast.Constant) and isinstance(node.value, bool | int))
            or (isinstance(node, ast.Return) and not _is_nothing(node.value))
            or _is_dispensable(node)
        ):
            found.append((number, 0))
    return found


def _is_dispensable(node: ast.AST) -> bool:
    """A call for its effect, or a change of something that exists: what could be left out by mistake."""
    if isinstance(node, ast.Expr):
        return not (isinstance(node.value, ast.Constant))  # texts that describe, and "..."
    return isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute | ast.Subscript | ast.Tuple)
    )


def _is_nothing(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _hidden(node: ast.AST) -> list[ast.AST]:
    """Annotations and what only the type checker sees: changing them changes nothing."""
    roots: list[ast.AST] = []
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
        roots = [a.annotation for a in arguments if a.annotation] + ([node.returns] if node.returns else [])
    elif isinstance(node, ast.AnnAssign):
        roots = [node.annotation]
    elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        roots = [node]
    elif isinstance(node, ast.ClassDef):
        roots = list(node.decorator_list)
    return [inner for root in roots for inner in ast.walk(root)]


def change(tree: ast.Module, place: tuple[int, int]) -> tuple[str, str]:
    """The mutated source, and what was changed."""
    tree = copy.deepcopy(tree)
    number, part = place
    node = list(ast.walk(tree))[number]
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        node.ops[part] = SWAPS[type(node.ops[part])]()
    elif isinstance(node, ast.BoolOp | ast.BinOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()  # "+x" of a truth value: the same truth, not negated
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    else:
        if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign):
            new: ast.stmt = ast.Pass()
        else:
            new = ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        for parent in ast.walk(tree):
            for body in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody")):
                if isinstance(body, list) and node in body:
                    body[body.index(node)] = ast.copy_location(new, node)
    line = getattr(node, "lineno", 0)
    return ast.unparse(ast.fix_missing_locations(tree)), f"line {line}: {before}"


def noticed(source: Path, module: str, text: str) -> bool:
    """Whether a test fails against the changed module."""
    target = source / "orca" / "statemachine" / "engine" / f"{module}.py"
    original = target.read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
            cwd=PACKAGE,
            env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=WAIT_S,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S)),
        )
    finally:
        target.write_text(original, encoding="utf-8")
    return done.returncode != 0


def coverage() -> int:
    """The branch coverage of the engine from its own tests."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "coverage.ini"
        config.write_text(
            "[run]\nbranch = true\nsource_pkgs = orca.statemachine.engine\n"
            "[report]\nshow_missing = true\nexclude_also =\n    if TYPE_CHECKING:\n    ^\\s*\\.\\.\\.$\n",
            encoding="utf-8",
        )
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "data")}
        tool = [sys.executable, "-m", "coverage"]
        # The generated machines of the property test run too, which the mutations leave out for their time.
        files = [test.partition("::")[0] for test in TESTS]
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        for command in (
            ["run", f"--rcfile={config}", *pytest],
            ["report", f"--rcfile={config}", "--fail-under=100"],
        ):
            done = subprocess.run([*tool, *command], cwd=PACKAGE, env=environment, check=False)
            if done.returncode != 0:
                return 1
    return 0


def main() -> int:
    """Sample, run, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="how many changes, taken at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--coverage", action="store_true")
    options = parser.parse_args()
    if options.coverage:
        return coverage()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        shutil.copytree(PACKAGE / "src", source, dirs_exist_ok=True)
        home = source / "orca" / "statemachine" / "engine"
        trees = {m: ast.parse((home / f"{m}.py").read_text(encoding="utf-8")) for m in options.modules}
        everything = [(m, place) for m, tree in trees.items() for place in places(tree)]
        if noticed(source, "work", (home / "work.py").read_text(encoding="utf-8")):
            raise SystemExit("the tests fail without any change")
        sample = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
        killed = 0
        for module, place in sample:
            text, what = change(trees[module], place)
            if noticed(source, module, text):
                killed += 1
            else:
                print(f"not noticed: {module} {what}", flush=True)
    print(
        f"{killed} of {len(sample)} changes noticed ({100 * killed / len(sample):.0f} %), {len(everything)} possible"
    )
    return 1 if 100 * killed < LEAST * len(sample) else 0


if __name__ == "__main__":
    raise SystemExit(main())
