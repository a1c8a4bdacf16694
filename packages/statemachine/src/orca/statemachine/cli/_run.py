"""``orca machine run`` and ``orca machine replay``."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from orca.common.errors import OrcaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orca.statemachine.model import MachineDef
    from orca.statemachine.replay import Moment
    from orca.statemachine.runtime.machine import OrcaMachine

__all__ = ["add"]

BRIDGE_WAIT_S: Final = 3_600.0
"""How long a machine that is run over the bridge may wait for its own timers."""

File = Annotated[Path, typer.Argument(help="A .orca or .orca.md file.")]
Name = Annotated[
    str | None, typer.Option("--machine", help="Which machine of the file; the first if not given.")
]
Store = Annotated[Path | None, typer.Option("--store", help="A SQLite file that keeps the run.")]
RunId = Annotated[str | None, typer.Option("--run-id", help="The name of the run in the store.")]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("replay")(replay)


def _machines(path: Path) -> dict[str, MachineDef]:
    from orca.statemachine.loading import parse_document  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return {machine.name: machine for machine in parse_document(text, str(path)).machines}


def _pick(machines: Mapping[str, MachineDef], name: str | None, path: Path) -> MachineDef:
    if not machines:
        raise UsageError(f"{path} holds no machine")
    if name is None:
        return next(iter(machines.values()))
    if name not in machines:
        raise UsageError(f"{path} holds no machine {name!r}; it holds: {', '.join(machines)}")
    return machines[name]


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object")
    return cast("dict[str, Any]", value)


def run(
    path: File,
    *,
    name: Name = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="A JSONL file: one event a line; without, you are asked.")
    ] = None,
    context: Annotated[str, typer.Option("--context", help="JSON that is merged over the defaults.")] = "{}",
    store: Store = None,
    run_id: RunId = None,
    bridge: Annotated[bool, typer.Option("--bridge", help="Bridge 1.0: invocation in, result out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each step.")] = False,
) -> int:
    """Run a machine, from a file of events or by hand.

    A line of the file is `{"event": "PAY", "payload": {...}}` or `{"wait_s": 30}`; waiting takes no real time.
    By hand, type an event, optionally with its payload as JSON; `?` lists the events that lead somewhere,
    `wait 30` lets thirty seconds pass, an empty line or Ctrl-D ends.
    """
    import anyio  # noqa: PLC0415

    machines = _machines(path)
    if bridge:
        sys.stdout.write(json.dumps(anyio.run(_bridge, machines, sys.stdin.read())) + "\n")
        return 0
    definition = _pick(machines, name, path)
    if (store is None) is not (run_id is None):
        raise UsageError("--store and --run-id belong together")
    given = _object(context, "--context")
    steps = None if events is None else _read_events(events)
    session = Session(as_json=as_json)
    kept = None if store is None or run_id is None else (store, run_id)
    return anyio.run(partial(_session, session, definition, machines, context=given, steps=steps, kept=kept))


def _read_events(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    steps = [_object(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    for number, step in enumerate(steps, 1):
        if not isinstance(step.get("event"), str) and not isinstance(step.get("wait_s"), int | float):
            raise UsageError(f"{path}: step {number} has neither an event nor wait_s")
    return steps


class Session:
    """Prints what happens to a machine.

    Attributes:
        as_json: One JSON object a line instead of text.
        failed: Whether an event raised.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.failed = False
        self._before: dict[str, Any] = {}

    def show(self, event: str, machine: OrcaMachine, *, note: str = "", old: str = "") -> None:
        """One step: where it led and what it changed in the context."""
        delta = {k: v for k, v in machine.context.items() if k not in self._before or self._before[k] != v}
        self._before = dict(machine.context)
        state = str(machine.state)
        if self.as_json:
            entry = {"event": event, "from": old, "to": state, "context_delta": delta, "note": note}
            sys.stdout.write(json.dumps(entry, default=str) + "\n")
            return
        way = f"{old} -> {state}" if old else state
        changes = "".join(f"  {key}={json.dumps(value, default=str)}" for key, value in delta.items())
        sys.stdout.write(f"{event:<16} {way}{changes}{f'  ({note})' if note else ''}\n")


async def _session(
    session: Session,
    definition: MachineDef,
    machines: Mapping[str, MachineDef],
    *,
    context: Mapping[str, Any],
    steps: list[dict[str, Any]] | None,
    kept: tuple[Path, str] | None,
) -> int:
    from orca.common.testing import FakeClock  # noqa: PLC0415
    from orca.statemachine.runtime.bus import EventBus  # noqa: PLC0415
    from orca.statemachine.runtime.machine import OrcaMachine  # noqa: PLC0415
    from orca.statemachine.runtime.sqlite import SQLiteStore  # noqa: PLC0415

    clock = FakeClock(auto=False)
    store = None if kept is None else SQLiteStore(kept[0])
    run_id = None if kept is None else kept[1]
    machine = OrcaMachine(definition, EventBus(), context, persistence=store, run_id=run_id, clock=clock)
    machine.register_machines(machines)
    try:
        if missing := machine.missing_handlers():
            sys.stderr.write(f"no handler here, so these do nothing: {', '.join(missing)}\n")
        await machine.load_or_start()
        session.show("start", machine)
        for step in steps if steps is not None else _ask(machine):
            await _step(session, machine, clock, step)
        await machine.stop()
    finally:
        if store is not None:
            store.close()
    return 1 if session.failed else 0


async def _step(session: Session, machine: OrcaMachine, clock: Any, step: Mapping[str, Any]) -> None:
    old = str(machine.state)
    if "event" not in step:
        await clock.advance_async(float(step["wait_s"]))
        session.show(f"wait {step['wait_s']:g}", machine, old=old)
        return
    event = str(step["event"])
    try:
        result = await machine.send(event, step.get("payload") or {})
    except OrcaError as error:
        session.failed = True
        session.show(event, machine, note=f"{error.code}: {error.message}", old=old)
        return
    note = "" if result.taken else "ignored" if result.ignored else str(result.error)
    session.show(event, machine, note=note, old=old)


def _ask(machine: OrcaMachine) -> Any:
    """Steps from the terminal, one at a time."""
    while True:
        if sys.stdin.isatty():
            sys.stdout.write("> ")
            sys.stdout.flush()
        line = sys.stdin.readline().strip()
        if not line:
            return
        word, _, rest = line.partition(" ")
        if word == "?":
            sys.stdout.write("  ".join(machine.possible_events()) + "\n")
        elif word == "wait":
            try:
                yield {"wait_s": float(rest)}
            except ValueError:
                sys.stdout.write("wait needs a number of seconds\n")
        else:
            try:
                yield {"event": word, "payload": _object(rest, "the payload") if rest.strip() else {}}
            except UsageError as error:
                sys.stdout.write(f"{error.message}\n")


async def _bridge(machines: Mapping[str, MachineDef], text: str) -> dict[str, Any]:
    """Run the child that an invocation names until it ends by itself."""
    import anyio  # noqa: PLC0415

    from orca.statemachine.runtime.bridge import make_result, parse_invocation  # noqa: PLC0415
    from orca.statemachine.runtime.bus import EventBus  # noqa: PLC0415
    from orca.statemachine.runtime.machine import OrcaMachine  # noqa: PLC0415

    call = parse_invocation(text)
    definition = machines.get(str(call["child"]))
    if definition is None:
        names = ", ".join(machines)
        return make_result(
            "", {}, {"code": "UNKNOWN_MACHINE", "message": f"no machine {call['child']!r}: {names}"}
        )
    if call["shots"] is not None:
        return make_result("", {}, {"code": "BRIDGE_ERROR", "message": "shots need a measuring machine"})
    machine = OrcaMachine(definition, EventBus(), cast("Mapping[str, Any]", call["args"]))
    machine.register_machines(machines)
    try:
        await machine.start()
        with anyio.move_on_after(BRIDGE_WAIT_S):
            await _until_done(machine)
    except OrcaError as error:
        return make_result(str(machine.state), {}, {"code": error.code, "message": error.message})
    if not machine.is_done:
        message = f"{definition.name} waits in {machine.state} and nothing will move it"
        return make_result(str(machine.state), {}, {"code": "NOT_DONE", "message": message})
    return make_result(str(machine.state), machine.returns())


async def _until_done(machine: OrcaMachine) -> None:
    """Wait for the machine's own timers and children; give up when there are none left."""
    while not machine.is_done:
        statistics = machine.statistics()
        if not statistics["timers"] and not statistics["children"]:
            return
        await machine.wait_for_change()


def replay(
    path: File,
    *,
    store: Annotated[Path, typer.Option("--store", help="The SQLite file that keeps the run.")],
    run_id: Annotated[str, typer.Option("--run-id", help="The name of the run.")],
    name: Name = None,
    step: Annotated[
        int | None, typer.Option("--step", help="Show only this step, from 0; -1 is the last.")
    ] = None,
    fork: Annotated[
        str | None, typer.Option("--fork", help="Begin a new run of this name at --step.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each step.")] = False,
) -> int:
    """Show a stored run step by step, or begin a new run from one of its steps."""
    from orca.statemachine.replay import Replay  # noqa: PLC0415
    from orca.statemachine.runtime.sqlite import SQLiteStore  # noqa: PLC0415

    if fork is not None and step is None:
        raise UsageError("--fork needs --step")
    if not store.exists():
        raise UsageError(f"there is no store {store}")
    definition = _pick(_machines(path), name, path)
    with SQLiteStore(store) as kept:
        journal = kept.journal(run_id)
        if not journal:
            known = ", ".join(run for run, _machine, _sequence in kept.runs(limit=20)) or "none"
            raise UsageError(f"{store} has no run {run_id!r}; it has: {known}")
        travel = Replay(definition, journal)
        for moment in travel.moments if step is None else [travel.at(step)]:
            _show_moment(moment, as_json=as_json)
        if fork is not None and step is not None:
            kept.save(fork, travel.fork(step))
            sys.stdout.write(f"run {fork} begins at step {travel.at(step).step}\n")
    return 0


def _show_moment(moment: Moment, *, as_json: bool) -> None:
    if as_json:
        entry = {
            "step": moment.step,
            "event": moment.event,
            "payload": moment.payload,
            "state": str(moment.state),
            "context": moment.context,
        }
        sys.stdout.write(json.dumps(entry) + "\n")
        return
    changes = "".join(f"  {key}={json.dumps(value)}" for key, value in moment.delta.items())
    sys.stdout.write(f"{moment.step:>4}  {moment.event:<16} {moment.state}{changes}\n")
