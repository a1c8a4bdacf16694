"""The files that ``orca init`` writes."""

from __future__ import annotations

import json

__all__ = ["project_files"]

PROCESSOR = '''"""Two algorithms on one window: a mean, and an alarm that depends on it."""

from typing import Annotated

from orca.processor import Dep, MetadataField, Processor, Window, WindowType

proc = Processor({name})

Every30Second = WindowType(
    "Every30Second", "1.0.0", "half a minute of one asset", (MetadataField("asset_id", "which asset", filter=True),)
)


@proc.algorithm("Mean", "1.0.0", Every30Second)
def mean(window: Window) -> float:
    """The mean temperature of the window."""
    return 20.0 + window.metadata.get("asset_id", 0) / 10


@proc.algorithm("Alarm", "1.0.0", Every30Second)
def alarm(temperature: Annotated[float, Dep(mean)]) -> dict[str, float]:
    """How far the mean is above its limit."""
    return {{"above": max(0.0, temperature - 20.0)}}


if __name__ == "__main__":
    proc.run()
'''

TEST = """from orca.processor.testing import Local, make_window
from processor import alarm, mean, proc


def test_the_alarm_alone():
    assert alarm(temperature=21.5) == {"above": 1.5}


def test_both_together():
    run = Local(proc).run(make_window("Every30Second", asset_id=5))
    assert run[mean].value == 20.5
    assert run[alarm].value == {"above": 0.5}
"""

IGNORE = "__pycache__/\n.venv/\n.orca/\n.pytest_cache/\n"


def project_files(name: str) -> dict[str, str]:
    """The files of a new project, by name.

    Args:
        name: The project's and the processor's name.
    """
    return {
        "processor.py": PROCESSOR.format(name=json.dumps(name)),
        "test_processor.py": TEST,
        "orca.json": json.dumps({"projectName": name}, indent=2) + "\n",
        ".gitignore": IGNORE,
    }
