"""A pytest plugin that runs the blocks of Markdown pages: ``pytest -p markdown_blocks docs README.md``.

``python`` blocks run in order, in one namespace per page. In ``console`` blocks each line that starts with ``$ `` is
run by the shell and the lines below it are what it must print; ``...`` matches anything. Every page has a fresh
working directory. ``sh`` blocks are for a person on a fresh machine and are not run here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from expected_output import matches

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 300


def run_console(example: Example) -> str | None:
    """Run the commands of a block one after the other and compare what each prints."""
    text = str(example.parsed)
    steps = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if steps[0].strip():
        return "a console block starts with a line `$ command`"
    for step in steps[1:]:
        command, _, expected = step.partition("\n")
        done = subprocess.run(
            command.split("   #")[0],
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "COLUMNS": "100",
            },
        )
        if not matches(expected, done.stdout):
            return f"$ {command}\nexpected:\n{expected}\ngot:\n{done.stdout}"
    return None


def enter(namespace: dict[str, Any]) -> None:
    """A fresh working directory for a page."""
    namespace["_home"] = os.getcwd()  # noqa: PTH109 - restored as it was
    namespace["_folder"] = tempfile.TemporaryDirectory(prefix="page-")
    os.chdir(namespace["_folder"].name)


def leave(namespace: dict[str, Any]) -> None:
    """Back to where the run started."""
    os.chdir(namespace["_home"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=run_console)],
    path=str(ROOT),
    patterns=["*.md", "**/*.md"],
    setup=enter,
    teardown=leave,
).pytest()
