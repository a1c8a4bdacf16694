"""The fifth layer: snapshots, saving, resuming, the outbox."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import TYPE_CHECKING, Any, Final, cast

from orca.common.errors import OrcaError
from orca.statemachine.engine import Signal, SnapshotError, check_snapshot, error_name
from orca.statemachine.engine import Snapshot as EngineSnapshot
from orca.statemachine.model import InvokeDef
from orca.statemachine.runtime._base import BUSY, DONE, INACTIVE
from orca.statemachine.runtime._family import Family
from orca.statemachine.runtime._macro import SAVE, Plans, is_trusted, trusted
from orca.statemachine.runtime._text import not_writable
from orca.statemachine.runtime.bus import BusError, EventType, run_effect
from orca.statemachine.runtime.persistence import dumps, sealed
from orca.statemachine.runtime.snapshot import (
    SNAPSHOT_SCHEMA,
    check_json,
    configuration_of,
    definition_hash,
    tree_of,
)
from orca.statemachine.runtime.timers import timers_for
from orca.statemachine.runtime.types import Effect, EffectStatus, mapping_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orca.statemachine.engine import Config, Work
    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime._extras import Extras, Migration

__all__ = ["Durable"]

_WAYS_MAX: Final = 1_000
"""How many texts one configuration keeps; more only cost time."""
_MIGRATIONS_MAX: Final = 100
"""How many migrations one snapshot may pass through: more means that two of them lead to each other."""


_FIXED: Final[tuple[str, None]] = ("", None)
"""The key of the fixed part of a snapshot among a configuration's texts."""


def _entry_text(before: Config, after: Config, signal: Signal, delta: Mapping[str, Any]) -> str:
    """A journal entry as JSON; the fixed parts are made once for each way between two configurations."""
    name = signal.name
    way = before.texts.get((name, after))
    if way is None:
        places = {"event": name, "from": str(before.cached), "to": str(after.cached)}
        way = dumps(places)[:-1]
        if len(before.texts) < _WAYS_MAX:
            before.texts[name, after] = way
    payload = dumps(dict(signal.payload)) if signal.payload else "{}"
    return f'{way},"payload":{payload},"delta":{dumps(delta) if delta else "{}"}}}'


class EffectFailedError(OrcaError, RuntimeError):
    """An effect of the outbox failed and no state declares ``on_error``."""

    code = "EFFECT_FAILED"


class Durable(Family):
    """What makes a machine outlive its process."""

    __slots__ = ()

    @property
    def definition_hash(self) -> str:
        """What snapshots remember of the definition: two that mean the same have the same hash."""
        cached = self._engine.cached
        if "hash" not in cached:
            cached["hash"] = definition_hash(self.definition)
        return cached["hash"]

    # ---- taking snapshots

    def snapshot(self) -> dict[str, Any]:
        """Everything that another process needs to go on, as JSON values that belong to the caller.

        Handlers are not part of it; register them again before `resume`.

        Raises:
            ValueNotJsonError: A context value has no exact JSON form; the error names the field.
        """
        check_json(self.definition.name, self.context, stored=False)  # the caller decides how it is written
        plans = Plans(self._extras, [])
        return copy.deepcopy(
            self._describe(self.context, self._config, self._history, plans, done=self.is_done)
        )

    def _describe(
        self,
        context: Mapping[str, Any],
        config: Config,
        history: tuple[tuple[int, tuple[int, ...]], ...],
        plans: Plans,
        *,
        done: bool,
    ) -> dict[str, Any]:
        extras = self._more
        nodes = self._engine.plan.nodes
        snapshot = self._describe_place(config)
        snapshot["context"] = context
        snapshot["timestamp"] = extras.clock.now()
        if done:
            snapshot["status"] = "done"
        if history:
            snapshot["history"] = {nodes[h].path: [nodes[s].path for s in states] for h, states in history}
        if extras.timers or extras.delayed or plans.start_timers or plans.later:
            snapshot["timers"] = self._describe_timers(extras, plans)
            snapshot["delayed"] = self._describe_delayed(extras, plans)
        if extras.children:
            gone = {*plans.stop_children, *plans.start_children}
            children = {path: child.snapshot() for path, child in extras.children.items() if path not in gone}
            snapshot["children"] = children
            snapshot["active_invoke"] = next(iter(children), None)
        if extras.finished:
            snapshot["finished"] = sorted(extras.finished.difference(plans.stop_children))
        if self._queue and not done:
            waiting = [t for t in self._queue if t.woken is None and t.signal.name != SAVE]
            snapshot["queue"] = [
                {
                    "event": t.signal.name,
                    "payload": dict(t.signal.payload),
                    "bind": dict(t.bind or {}),
                    "own": is_trusted(t.signal),
                }
                for t in waiting
            ]
        if extras.pending:
            snapshot["outbox"] = list(extras.pending)
        snapshot["sequence"] = extras.saved
        return snapshot

    def _describe_place(self, config: Config) -> dict[str, Any]:
        """What a snapshot says of a configuration, with nothing running; made once."""
        if config.described is None:
            plan = self._engine.plan
            config.described = {
                "schema": SNAPSHOT_SCHEMA,
                "machine": self.definition.name,
                "definition_version": self.definition.version,
                "definition_hash": self.definition_hash,
                "state": tree_of(plan, config.states),
                "configuration": [plan.nodes[s].path for s in config.states],
                "status": "running",
                "context": {},
                "history": {},
                "timers": {},
                "delayed": [],
                "children": {},
                "finished": [],
                "active_invoke": None,
                "queue": [],
                "outbox": [],
            }
        return config.described.copy()

    def _describe_timers(self, extras: Extras, plans: Plans) -> dict[str, float]:
        remaining: dict[str, float] = {}
        if plans.kept_timers:
            timers = timers_for(extras.clock)
            remaining = {path: timers.remaining_ms(timer) for path, timer in plans.kept_timers.items()}
        return {**remaining, **plans.start_timers}

    def _describe_delayed(self, extras: Extras, plans: Plans) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        if extras.delayed:
            timers = timers_for(extras.clock)
            for key, (timer, signal) in extras.delayed.items():
                left = timers.remaining_ms(timer)
                found[key] = {
                    "id": key, "event": signal.name, "payload": dict(signal.payload), "remaining_ms": left
                }  # fmt: skip
        for command in plans.later:
            event = getattr(command, "event", None)
            if event is None:
                found.pop(getattr(command, "send_id", ""), None)
                continue
            key = event.send_id or f"+{len(found)}"
            found[key] = {
                "id": event.send_id, "event": event.name, "payload": dict(event.payload),
                "remaining_ms": event.delay_ms,
            }  # fmt: skip
        return list(found.values())

    # ---- saving

    async def _save(self, work: Work, after: Config, plans: Plans) -> None:
        extras = self._more
        check_json(self.definition.name, work.context)
        history = tuple(sorted(work.history.items()))
        snapshot = self._describe(work.context, after, history, plans, done=not work.running)
        entry: dict[str, Any] = {
            "event": work.trigger.name,
            "payload": dict(work.trigger.payload),
            "from": str(self.state),
            "to": self._engine.plan.describe(after.states),
            "delta": {k: v for k, v in work.context.items() if k not in self.context or self.context[k] != v},
        }
        removed = [k for k in self.context if k not in work.context]
        if removed:
            entry["removed"] = removed
        if history:
            entry["history"] = snapshot["history"]
        await self._store(extras, snapshot, entry)

    async def _save_plain(
        self, before: Config, after: Config, context: dict[str, Any], signal: Signal
    ) -> None:
        old = self.context
        if context is not old:
            check_json(self.definition.name, context)
        extras = self._more
        write = getattr(extras.persistence, "commit_text", None)
        if write is not None and not (self._queue or self._history or extras.is_occupied()):
            delta = {k: v for k, v in context.items() if k not in old or old[k] != v}
            if all(k in context for k in old):
                sequence = extras.saved + 1
                await write(
                    extras.run_id,
                    sequence,
                    self.definition.name,
                    self._snapshot_text(after, context, sequence),
                    _entry_text(before, after, signal, delta),
                )
                extras.saved = sequence
                return
        snapshot = self._describe(context, after, self._history, Plans(extras, []), done=False)
        entry: dict[str, Any] = {
            "event": signal.name,
            "payload": dict(signal.payload),
            "from": str(before.cached),
            "to": str(after.cached),
            "delta": {k: v for k, v in context.items() if k not in old or old[k] != v},
        }
        if len(context) < len(old) or any(k not in context for k in old):
            entry["removed"] = [k for k in old if k not in context]
        if self._history:
            entry["history"] = snapshot["history"]
        await self._store(self._more, snapshot, entry)

    def _snapshot_text(self, config: Config, context: dict[str, Any], sequence: int) -> str:
        """What `_describe` says of a machine with nothing running, as JSON; the fixed part is made once."""
        head = config.texts.get(_FIXED)
        if head is None:
            fixed = self._describe_place(config)
            del fixed["context"]
            head = config.texts[_FIXED] = dumps(fixed)[:-1]
        now = float(self._more.clock.now())
        try:
            return sealed(f'{head},"context":{dumps(context)},"timestamp":{now!r},"sequence":{sequence}}}')
        except UnicodeEncodeError:
            raise not_writable(self.definition.name, {"context": context}) from None

    async def _save_now(self) -> None:
        extras = self._more
        if extras.persistence is None:
            return
        plans = Plans(extras, [])
        check_json(self.definition.name, self.context)
        snapshot = self._describe(self.context, self._config, self._history, plans, done=self.is_done)
        await self._store(extras, snapshot, None)

    async def _store(self, extras: Extras, snapshot: dict[str, Any], entry: dict[str, Any] | None) -> None:
        snapshot["sequence"] = extras.saved + 1
        store = extras.persistence
        if extras.described is not store:
            # Stores that can, keep the definition beside its runs, so that other programs can draw them.
            describe = getattr(store, "describe", None)
            if describe is not None:
                describe(self.definition_hash, self.definition)
            extras.described = store
        commit = getattr(store, "commit", None)
        if commit is not None:
            await commit(extras.run_id, snapshot, entry)
        else:
            saved = store.save(extras.run_id, snapshot)
            if inspect.isawaitable(saved):
                await saved
        extras.saved += 1

    # ---- going on

    def register_migration(
        self,
        source: str,
        migrate: Migration,
        *,
        old: MachineDef | None = None,
        drops: Iterable[str] = (),
    ) -> None:
        """Say how a snapshot of another definition becomes one of a later definition.

        Args:
            source: The hash or the version of the definition that the snapshot comes from.
            migrate: Takes the snapshot and returns one whose ``definition_hash`` or ``definition_version`` is
                that of this machine, or that of the next migration.
            old: The definition that it comes from, if it leads straight to this one: then the verifier tries the
                migration on everywhere that a machine of it can be.
            drops: Context fields of ``old`` that are meant to be lost.

        Raises:
            PartialMigrationError: With ``old``: a state or a field is not taken along.
        """
        if old is not None:
            from orca.statemachine.runtime.migrations import (  # noqa: PLC0415 - the verifier loads when asked
                PartialMigrationError,
                check_migration,
            )

            gaps = check_migration(migrate, old, self.definition, drops=drops)
            if gaps:
                raise PartialMigrationError(self.definition.name, gaps)
        self._more.migrations[source] = migrate

    async def load_or_start(self) -> None:
        """Resume from the store if it has a snapshot of this run, else start."""
        extras = self._more
        if extras.persistence is not None and extras.run_id is not None:
            found = extras.persistence.load(extras.run_id)
            snapshot = await found if inspect.isawaitable(found) else found
            if snapshot:
                await self.resume(cast("Mapping[str, Any]", snapshot))
                return
        await self.start()

    async def resume(self, snap: Mapping[str, Any]) -> None:
        """Go on from a snapshot in a fresh machine. Nothing that ran before is run again.

        Raises:
            SnapshotError: It belongs to another machine, or names a state or field that this definition does not
                have, or its definition differs and the policy is ``refuse``.
        """
        if not self._gate & INACTIVE:
            return
        snapshot = self._migrated(snap)
        self._take(snapshot)
        self._gate &= ~INACTIVE
        await self._publish(
            EventType.MACHINE_STARTED,
            {"machine": self.definition.name, "initial_state": self.state.value, "resumed": True},
        )
        await self._go_on(snapshot)

    async def restore(self, snap: Mapping[str, Any]) -> None:
        """Put a machine back to a snapshot, running or not; a running one goes on from there.

        Raises:
            SnapshotError: As for `resume`; the machine is as it was.
        """
        snapshot = self._migrated(snap)
        await self._still()
        self._take(snapshot)
        if not self._gate & INACTIVE:
            await self._go_on(snapshot)

    def _migrated(self, snap: Mapping[str, Any]) -> dict[str, Any]:
        snapshot = copy.deepcopy(dict(snap))
        migrations = self._more.migrations
        name = self.definition.name
        for _ in range(_MIGRATIONS_MAX):
            if snapshot.get("machine", name) != name:
                raise SnapshotError(
                    f"the snapshot belongs to machine {snapshot.get('machine')!r}, not to {name!r}"
                )
            if int(snapshot.get("schema", SNAPSHOT_SCHEMA)) > SNAPSHOT_SCHEMA:
                raise SnapshotError(
                    f"the snapshot has form {snapshot['schema']}, this program reads up to {SNAPSHOT_SCHEMA}",
                    hint="upgrade orca-statemachine",
                )
            found, version = snapshot.get("definition_hash"), str(snapshot.get("definition_version", "0.1.0"))
            if found == self.definition_hash or (found is None and version == self.definition.version):
                return snapshot
            migrate = migrations.get(str(found)) or migrations.get(version)
            if migrate is None:
                self._differs(version, known=found is not None)
                return snapshot
            snapshot = copy.deepcopy(dict(migrate(snapshot)))
        raise SnapshotError(f"more than {_MIGRATIONS_MAX} migrations and no end: two lead to each other")

    def _differs(self, version: str, *, known: bool) -> None:
        message = (
            f"Snapshot version '{version}' does not match machine definition version "
            f"'{self.definition.version}' for machine '{self.definition.name}'."
        )
        if version == self.definition.version:
            message = (
                f"The snapshot of machine '{self.definition.name}' was made with another definition of the same "
                f"version '{version}'."
            )
        if (self._more.mismatch or ("refuse" if known else "warn")) == "refuse":
            raise SnapshotError(
                message,
                hint="register_migration(...) says how it becomes one of this definition; "
                "on_mismatch='warn' takes it as it is",
            )
        warnings.warn(
            message + " The snapshot may be incompatible with the current definition.",
            UserWarning,
            stacklevel=5,
        )

    def _take(self, snapshot: Mapping[str, Any]) -> None:
        """Check everything, then set it."""
        plan = self._engine.plan
        states = configuration_of(plan, snapshot)
        context = cast("Mapping[str, Any]", snapshot.get("context") or {})
        history = self._history_of(cast("Mapping[str, Any]", snapshot.get("history") or {}))
        check_snapshot(plan, EngineSnapshot(states, context, history, "running"))
        known = {item.name for item in self.definition.fields}
        if known:
            lost = [name for name in context if name not in known and name not in self.context]
            if lost and snapshot.get("definition_hash") != self.definition_hash:
                raise SnapshotError(
                    f"the snapshot has context fields that machine {plan.name!r} does not have: {', '.join(lost)}"
                )
        timers = cast("Mapping[str, Any]", snapshot.get("timers") or {})
        children = cast("Mapping[str, Any]", snapshot.get("children") or {})
        for path in (*timers, *children):
            if path not in plan.by_path:
                raise SnapshotError(f"the snapshot names state {path!r}, which machine {plan.name!r} lacks")
        self._config = self._engine.config(states)
        self.context = {**self.context, **context}
        self._history = history
        self._gate = self._gate & ~DONE | (DONE if snapshot.get("status") == "done" else 0)
        extras = self._more
        extras.saved = int(snapshot.get("sequence") or 0)
        extras.pending = list(snapshot.get("outbox") or ())

    def _history_of(self, given: Mapping[str, Any]) -> tuple[tuple[int, tuple[int, ...]], ...]:
        by_path = self._engine.plan.by_path
        try:
            return tuple(
                sorted((by_path[path], tuple(by_path[s] for s in states)) for path, states in given.items())
            )
        except (KeyError, TypeError) as error:
            raise SnapshotError(
                f"the history in the snapshot names {error}, which {self.definition.name!r} lacks"
            ) from error

    async def _go_on(self, snapshot: Mapping[str, Any]) -> None:
        """Timers, children, queued events and undelivered effects of a snapshot that was taken in."""
        extras = self._more
        down_ms = max(0.0, (extras.clock.now() - float(snapshot.get("timestamp") or 0.0)) * 1000.0)
        self._resume_timers(extras, snapshot, down_ms)
        extras.finished = set(snapshot.get("finished") or ())
        await self._resume_children(extras, snapshot)
        if extras.pending:
            await self._deliver_outbox()
        for item in snapshot.get("queue") or ():
            payload = cast("Mapping[str, Any]", item.get("payload") or {})
            name = str(item["event"])
            signal = trusted(name, payload) if item.get("own") else Signal(name, payload)
            work = self.post(signal, bind=item.get("bind") or None)
            if work is not None:
                await work

    def _resume_timers(self, extras: Extras, snapshot: Mapping[str, Any], down_ms: float) -> None:
        nodes, by_path = self._engine.plan.nodes, self._engine.plan.by_path
        given = cast("Mapping[str, float] | None", snapshot.get("timers"))
        timed = [nodes[s] for s in self._config.states if nodes[s].timeout_ms is not None]
        if given is None:  # an older snapshot, which knew no timers: they begin again
            given = {node.path: float(cast("int", node.timeout_ms)) for node in timed}
        passed = down_ms if extras.timer_policy == "deadline" else 0.0
        for path, left in given.items():
            full = nodes[by_path[path]].timeout_ms
            if full is not None:
                delay = full if extras.timer_policy == "restart" else left - passed
                timers = timers_for(extras.clock)
                extras.timers[path] = timers.start(delay, self, ("timer", path))
        from orca.statemachine.engine import Delayed, SendLater  # noqa: PLC0415

        for item in snapshot.get("delayed") or ():
            event = Delayed(
                str(item["event"]),
                item.get("payload") or {},
                int(max(0.0, float(item["remaining_ms"]) - passed)),
                str(item.get("id") or ""),
            )
            self._apply_later(SendLater(event))

    async def _resume_children(self, extras: Extras, snapshot: Mapping[str, Any]) -> None:
        children = cast("Mapping[str, Any]", snapshot.get("children") or {})
        nodes = self._engine.plan.nodes
        for path, snap in children.items():
            invoke = nodes[self._engine.plan.by_path[path]].invoke
            definition = extras.siblings.get(invoke.machine) if invoke is not None else None
            if invoke is None or definition is None:
                what = f"'{invoke.machine}'" if isinstance(invoke, InvokeDef) else "a child"
                why = "sibling definition not registered" if invoke else "no invoke definition found"
                warnings.warn(
                    f"Cannot rehydrate child {what} for state '{path}' in machine '{self.definition.name}': "
                    f"{why}. Call register_machines(...) before resume().",
                    UserWarning,
                    stacklevel=4,
                )
                continue
            child = self._make_child(definition, path, {})
            child._more.timer_policy = extras.timer_policy  # noqa: SLF001 - the same class
            await child.resume(snap)
            if child.is_done:
                # It was saved as it ended, and the process ended before its parent took note.
                await self.child_done(path, child)
        if "finished" not in snapshot:
            return  # an older snapshot does not say which children have ended already
        known = {*children, *extras.finished}
        for state in self._config.states:
            node = nodes[state]
            if node.invoke is not None and node.path not in known and not self._gate & DONE:
                # It was entered, but the process ended before its child was saved, or the child is foreign.
                await self._start_child(node.path)

    async def _still(self) -> None:
        """Stop timers and children."""
        extras = self._more
        if extras.timers or extras.delayed:
            timers = timers_for(extras.clock)
            for timer in extras.timers.values():
                timers.cancel(timer)
            for timer, _signal in extras.delayed.values():
                timers.cancel(timer)
            extras.timers.clear()
            extras.delayed.clear()
        for path in (*extras.children, *extras.foreign):
            await self._stop_child(path)

    # ---- the outbox

    async def _deliver_outbox(self) -> None:
        """Carry out the effects that the last commit stored, in order; what fails stays for the next start."""
        extras = self._more
        while extras.pending:
            item = extras.pending[0]
            effect = Effect(str(item["type"]), dict(item["payload"]), str(item["id"]))
            await self._publish(EventType.EFFECT_EXECUTING, {"effect": effect.type, "id": effect.id})
            handler = self.handlers.effects.get(effect.type)
            result = await (
                self.event_bus.execute_effect(effect) if handler is None else run_effect(handler, effect)
            )
            extras.pending.pop(0)
            if result.status == EffectStatus.SUCCESS:
                await self._publish(
                    EventType.EFFECT_COMPLETED, {"effect": effect.type, "result": result.data}
                )
                data = mapping_of(result.data)
                self._enqueue(trusted("@effect"), bind=data)
                if data is None:
                    self._enqueue(trusted("@save"))
            else:
                await self._publish(EventType.EFFECT_FAILED, {"effect": effect.type, "error": result.error})
                self._effect_failed(str(item.get("path") or ""), effect, result.error or "failed")
        if not self._gate & BUSY:
            await self._pump()

    def _effect_failed(self, path: str, effect: Effect, error: str) -> None:
        nodes, by_path = self._engine.plan.nodes, self._engine.plan.by_path
        handler = nodes[by_path[path]].handler if path in by_path else -1
        if handler < 0:
            self.event_bus.report(
                BusError(f"effect {effect.type} of {self.definition.name}", EffectFailedError(error))
            )
            self._enqueue(trusted("@save"))
            return
        payload = {"error": {"code": effect.type, "message": error}, "state": path, "effect_id": effect.id}
        self._enqueue(trusted(error_name(nodes[handler].path), payload))

    async def start(self) -> None:
        raise NotImplementedError
