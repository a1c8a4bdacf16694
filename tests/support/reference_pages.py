"""Write the reference pages from the code: names, commands, settings, and the codes of errors and findings.

    python tests/support/reference_pages.py
    python tests/support/reference_pages.py --check

With ``--check`` nothing is written; pages that are not what the code says now are named, and the exit code is 1.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "processor", "orchestrator", "statemachine", "orchestra", "compat")
# The sources of this checkout, whatever is installed.
sys.path[:0] = [str(ROOT / "packages" / package / "src") for package in PACKAGES]

import reference_codes  # noqa: E402 - the packages are found only now
import reference_commands  # noqa: E402
import reference_names  # noqa: E402
import reference_settings  # noqa: E402

FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    return {
        **reference_names.pages(ROOT),
        "commands.md": reference_commands.page(ROOT),
        "settings.md": reference_settings.page(ROOT),
        "codes.md": reference_codes.page(ROOT),
    }


def main(arguments: list[str]) -> int:
    """Write or compare; returns the exit code."""
    warnings.simplefilter("error")
    check = "--check" in arguments
    stale: list[str] = []
    made = pages()
    for name, text in made.items():
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8", newline="\n")
    for name in stale:
        verb = "is stale: nox -s generate" if check else "written"
        sys.stdout.write(f"docs/reference/{name} {verb}\n")
    # A page of a module that is gone would stay for ever.
    left = sorted(path.name for path in FOLDER.glob("names-*.md") if path.name not in made)
    for name in left:
        if not check:
            (FOLDER / name).unlink()
        sys.stdout.write(f"docs/reference/{name} {'belongs to nothing: delete it' if check else 'deleted'}\n")
    return 1 if check and (stale or left) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
