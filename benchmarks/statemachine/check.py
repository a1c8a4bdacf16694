"""How long `orca machine check` takes on a folder of 100 files, against the parser alone.

    python benchmarks/statemachine/check.py [--check]

Reading, reporting and counting must add next to nothing to parsing: with --no-verify, check takes at most 1.2 times
the CPU of parsing the same texts. What verifying adds is shown beside; with --check the program ends with 1 when
the ratio is missed.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orca.statemachine.cli._check import check
from orca.statemachine.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 100
RATIO_MAX = 1.2
ROUNDS = 7


def source(number: int) -> str:
    """A machine of twelve states with guards, timers and actions; every file is another text."""
    states = "".join(
        f'state s{n}{" [initial]" if n == 0 else ""} {{\n    description: "Step {n} of {number}"\n'
        f"    timeout: {n + 1}m -> s0\n}}\n"
        for n in range(12)
    )
    rows = "".join(
        f"    s{n} + NEXT [count < {n + number}] -> s{(n + 1) % 12} : act\n    s{n} + BACK -> s{n // 2}\n"
        for n in range(12)
    )
    return f"machine M{number}\n\ncontext {{ count: int = 0 }}\n\n{states}\ntransitions {{\n{rows}}}\n"


def best_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several rounds, because the rest of the machine only ever adds."""
    samples = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        samples.append(time.process_time() - begun)
    return min(samples)


def checked(folder: Path, *, verify: bool) -> None:
    """The command, with its output thrown away."""
    with contextlib.redirect_stdout(io.StringIO()):
        code = check([folder], verify=verify)
    assert code == 0


def main() -> None:
    """Print the three times and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [source(number) for number in range(FILES)]
        for number, text in enumerate(texts):
            (folder / f"m{number}.orca").write_text(text, "utf-8")
        load(texts[0])  # builds the parser
        parse_s = best_s(lambda: [load(text) for text in texts])
        check_s = best_s(lambda: checked(folder, verify=False))
        verify_s = best_s(lambda: checked(folder, verify=True))
    size = sum(map(len, texts))
    print(f"{FILES} files, {size} characters")
    print(f"parse               {parse_s:7.3f} s  {size / parse_s / 1e6:5.2f} MB/s")
    print(f"check --no-verify   {check_s:7.3f} s  {check_s / parse_s:5.2f} x")
    print(f"check               {verify_s:7.3f} s  {verify_s / parse_s:5.2f} x")
    if "--check" in sys.argv[1:] and check_s > RATIO_MAX * parse_s:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
