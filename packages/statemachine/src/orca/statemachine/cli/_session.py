"""What ``orca machine dev`` serves: one file, its findings, and one run of a machine in it, shared by all tabs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from orca.common.errors import OrcaError, UsageError
from orca.statemachine.cli._check import verified
from orca.statemachine.cli._inputs import read_inputs, summary
from orca.statemachine.diagnostics import render
from orca.statemachine.loading import load
from orca.statemachine.outputs.svg import to_svg
from orca.statemachine.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from orca.statemachine.loading import LoadResult
    from orca.statemachine.model import MachineDef

__all__ = ["BUDGET", "Session"]

BUDGET: Final = 20_000
"""Configurations that the verifier explores after each change: a moment of work, and enough for most machines."""
FINDINGS_MAX: Final = 200
"""Findings on the page; a file with more has one cause that stands among them."""


class Session:
    """The file and the run. All methods may be called from any thread.

    Args:
        path: The file.
        machine: Which machine; the first one if not given.
        context: Fields of the context at the start that differ from their defaults.

    Raises:
        UsageError: There is no such file or machine, or the context has no such field.
        OrcaError: The file cannot be read.
    """

    def __init__(
        self, path: Path, machine: str | None = None, context: Mapping[str, object] | None = None
    ) -> None:
        self.path = path
        self._machine = machine
        self._context = dict(context or {})
        self._changed = threading.Condition()
        self._version = 0
        self._machines: tuple[MachineDef, ...] = ()
        self._run: Simulator | None = None
        self._note = ""
        self._stale = False
        self._result: LoadResult
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a file"
            raise UsageError(f"{path} {what}", hint="orca machine dev FILE, whose changes it follows")
        self._seen = self._look_at_file()
        self._load()

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether it had."""
        seen = self._look_at_file()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._load()
        except OrcaError as error:
            with self._update():
                self._note = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
        return True

    def wait(self, after: int, timeout_s: float) -> int:
        """Wait until there is something newer than version ``after``; gives the version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != after, timeout_s)
            return self._version

    def send(self, event: str, payload: Mapping[str, object]) -> None:
        """Let something happen.

        Raises:
            UsageError: It cannot happen.
        """
        with self._update():
            self._running().send(event, payload)

    def set(self, values: Mapping[str, object]) -> None:
        """Set fields of the context.

        Raises:
            UsageError: There is no such field.
        """
        with self._update():
            self._running().set(values)

    def back(self) -> None:
        """Undo the last step."""
        with self._update():
            self._running().back()

    def restart(self, machine: str | None = None, context: Mapping[str, object] | None = None) -> None:
        """Begin again, with another machine of the file or another context.

        Raises:
            UsageError: There is no such machine or field.
        """
        with self._update():
            run = self._running()
            name = machine or run.machine.name
            chosen = next((one for one in self._machines if one.name == name), None)
            if chosen is None:
                raise UsageError(f"there is no machine `{name}` in {self.path}")
            kept = run.context if name == run.machine.name else {}
            self._run = Simulator(chosen, kept if context is None else context)

    def summary(self) -> str:
        """One line for the terminal."""
        with self._changed:
            return self._note or summary(1, self._result.diagnostics)

    def trace(self) -> dict[str, object]:
        """The way so far, for ``orca machine simulate --trace``."""
        with self._changed:
            return self._running().trace().to_json()

    def picture(self) -> str:
        """The machine as a picture, with the active states highlighted."""
        with self._changed:
            run = self._running()
            machine, leaves = run.machine, run.now.leaves
        return to_svg(machine, active=leaves)

    def state(self) -> dict[str, Any]:
        """All that the page shows."""
        with self._changed:
            return {
                "version": self._version,
                "file": self.path.name,
                "note": self._note,
                "findings": [
                    {"severity": item.severity, "text": render(item, self._result.source)}
                    for item in self._result.diagnostics[:FINDINGS_MAX]
                ],
                "more_findings": max(0, len(self._result.diagnostics) - FINDINGS_MAX),
                "stale": self._stale,
                "machines": [one.name for one in self._machines],
                "run": None if self._run is None else _shown(self._run),
            }

    def _running(self) -> Simulator:
        if self._run is None:
            raise UsageError(f"{self.path} has no machine that can run", hint="mend what is wrong with it")
        return self._run

    @contextmanager
    def _update(self) -> Generator[None]:
        """A change: under the lock, and everybody who waits learns of it."""
        with self._changed:
            yield
            self._version += 1
            self._changed.notify_all()

    def _look_at_file(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _load(self) -> None:
        """Take the file as it is. One with errors is reported, and the run stays with what had none.

        Raises:
            OrcaError: It cannot be read.
        """
        (item,) = read_inputs([self.path])
        loaded = load(item.text, item.name, notation=item.notation)
        # What the verifier finds does not keep a machine from running; what the parser finds does.
        result = verified(loaded, BUDGET, {})
        with self._update():
            self._result = result
            self._note = ""
            self._stale = not loaded.ok
            if loaded.ok and loaded.document.machines:
                self._machines = loaded.document.machines
                self._note = self._follow(loaded.document.machines)

    def _follow(self, machines: tuple[MachineDef, ...]) -> str:
        """Go on with the machine of the same name; what to tell."""
        if self._run is None:
            chosen = next((one for one in machines if self._machine in {None, one.name}), None)
            if chosen is None:
                names = ", ".join(one.name for one in machines)
                raise UsageError(
                    f"there is no machine `{self._machine}` in {self.path}", hint=f"it has {names}"
                )
            self._run = Simulator(chosen, self._context)
            return ""
        name = self._run.machine.name
        chosen = next((one for one in machines if one.name == name), machines[0])
        if chosen.name != name:
            self._run = Simulator(chosen)
            return f"{name} is gone: this is {chosen.name}"
        before = len(self._run.frames)
        self._run = self._run.replay(chosen)
        lost = before - len(self._run.frames)
        return f"{lost} of {before - 1} steps cannot happen any more" if lost else ""


def _shown(run: Simulator) -> dict[str, Any]:
    """A run as the page shows it."""
    types = {item.name: str(item.type) for item in run.machine.fields}
    now = run.now
    return {
        "machine": run.machine.name,
        "status": now.snapshot.status,
        "leaves": now.leaves,
        "context": [
            {"name": name, "type": types.get(name, ""), "value": value, "set": name in run.pending}
            for name, value in run.values.items()
        ],
        "choices": [asdict(one) for one in run.choices()],
        "frames": [
            {
                "event": frame.event,
                "payload": frame.payload,
                "sets": frame.sets,
                "verdict": frame.verdict,
                "why": frame.why,
                "leaves": frame.leaves,
                "commands": frame.commands,
                "differs": frame.differs,
            }
            for frame in run.frames
        ],
    }
