"""The fourth layer: invoked children, in this process or in another program.

A child in this process is a machine like any other. It has no task of its own: what moves it is its parent, its
timers and whoever sends it events. When it ends, or fails, its parent gets a signal.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import anyio

from orca.common.errors import OrcaError
from orca.statemachine.engine import done_name, error_name
from orca.statemachine.expr import ValueRef
from orca.statemachine.model import thaw
from orca.statemachine.runtime._macro import SAVE, Macrosteps, Plans, trusted
from orca.statemachine.runtime.bridge import BridgeError, build_invocation, dispatch_foreign_async
from orca.statemachine.runtime.bus import BusError
from orca.statemachine.runtime.timers import spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine.engine import Signal
    from orca.statemachine.model import InvokeDef, MachineDef
    from orca.statemachine.runtime.machine import OrcaMachine

__all__ = ["Family"]

log = logging.getLogger(__name__)


class Family(Macrosteps):
    """Parents and children."""

    __slots__ = ()

    def register_machines(self, machines: Mapping[str, MachineDef]) -> None:
        """Say which definitions ``invoke`` may name; children can invoke them too."""
        self._more.siblings = dict(machines)

    def register_foreign_runner(self, machine_name: str, runner_argv: Sequence[str]) -> None:
        """Have a child run by another program over the bridge, unless a definition of that name is registered.

        Args:
            machine_name: What ``invoke`` calls it.
            runner_argv: The command line; it gets the invocation on its standard input.
        """
        self._more.runners[machine_name] = list(runner_argv)

    @property
    def children(self) -> dict[str, OrcaMachine]:
        """The running children by path of the state that invoked them."""
        return dict(self._extras.children) if self._extras is not None else {}

    async def _change_children(self, plans: Plans) -> None:
        for path in plans.stop_children:
            await self._stop_child(path)
        for path in plans.start_children:
            await self._start_child(path)

    async def _stop_child(self, path: str) -> None:
        extras = self._more
        extras.finished.discard(path)
        child = extras.children.pop(path, None)
        if child is not None:
            child.detach()
            await child.stop()
        scope = extras.foreign.pop(path, None)
        if scope is not None:
            scope.cancel()

    def _invoke_of(self, path: str) -> InvokeDef:
        return cast("InvokeDef", self._engine.plan.nodes[self._engine.plan.by_path[path]].invoke)

    def _input(self, invoke: InvokeDef) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, source in invoke.input:
            if isinstance(source, ValueRef):
                given[name] = thaw(source.value)
                continue
            value: Any = self.context
            for part in source.path[1:]:
                value = cast("Mapping[str, Any]", value).get(part) if isinstance(value, Mapping) else None
            given[name] = copy.deepcopy(value)
        return given

    async def _start_child(self, path: str) -> None:
        extras = self._more
        extras.finished.discard(path)
        invoke = self._invoke_of(path)
        definition = extras.siblings.get(invoke.machine)
        if definition is not None and invoke.shots is not None:
            why = (
                f"shots: {invoke.shots} needs a measuring child, and {invoke.machine} is an ordinary machine"
            )
            await self.child_failed(path, {"code": BridgeError.code, "message": why})
            return
        if definition is not None:
            child = self._make_child(definition, path, self._input(invoke))
            try:
                await child.start()
            except OrcaError as error:
                await self.child_failed(path, {"code": error.code, "message": error.message})
            return
        runner = extras.runners.get(invoke.machine)
        if runner is not None:
            spawn(self._run_foreign, path, invoke, runner)
            return
        why = f"no definition and no runner is registered for machine {invoke.machine!r}"
        log.warning("machine %s, state %s: %s", self.definition.name, path, why)
        if self._engine.plan.nodes[self._engine.plan.by_path[path]].handler >= 0:
            await self.child_failed(path, {"code": "UNKNOWN_MACHINE", "message": why})

    def _make_child(self, definition: MachineDef, path: str, given: Mapping[str, Any]) -> OrcaMachine:
        from orca.statemachine.runtime.machine import OrcaMachine  # noqa: PLC0415 - a machine makes machines

        extras = self._more
        child = OrcaMachine(
            definition, self.event_bus, context=given, clock=extras.clock, strict=extras.strict
        )
        child.adopt(cast("OrcaMachine", self), path)
        extras.children[path] = child
        return child

    def adopt(self, parent: OrcaMachine, path: str) -> None:
        """Make this machine the child of a state of another one: it reports there and shares its handlers."""
        extras, other = self._more, parent._more  # noqa: SLF001 - the same class
        extras.parent = (parent, path)
        extras.siblings = other.siblings
        extras.runners = other.runners
        if self._handlers is None:
            self._handlers = parent.handlers

    def detach(self) -> None:
        """Report to nobody any more."""
        if self._extras is not None:
            self._extras.parent = None

    async def _tell_root(self) -> None:
        """A child has changed: the run is saved by its outermost parent before the event is over."""
        if self._more.parent is None:
            return
        top: Family = self
        while top._extras is not None and top._extras.parent is not None:
            top = top._extras.parent[0]
        if top._more.persistence is not None:  # noqa: SLF001
            await top._hand_over(trusted(SAVE), {})  # noqa: SLF001

    async def _keep(self) -> None:
        """Save what changed outside a transition: a child that ended and that no transition answers to."""
        if self._more.parent is None:
            await self._save_now()
        else:
            await self._tell_root()

    # ---- what becomes of a child

    async def _ended(self) -> None:
        extras = self._more
        if extras.parent is None:
            return
        parent, path = extras.parent
        await parent.child_done(path, cast("OrcaMachine", self))

    async def child_done(self, path: str, child: OrcaMachine) -> None:
        """Called by a child that reached a top-level final state."""
        extras = self._more
        if extras.children.get(path) is not child:
            return
        del extras.children[path]
        extras.finished.add(path)
        child.detach()
        await child.stop()
        invoke = self._invoke_of(path)
        final = str(child.state)
        if final in invoke.failures or child.state.leaf() in invoke.failures:
            await self.child_failed(
                path, {"code": "FINAL_STATE", "message": f"{invoke.machine} ended in {final}"}, final
            )
            return
        returns = child.returns()
        bind = {field: returns[name] for field, name in invoke.returns if name in returns}
        payload = {
            "child": invoke.machine,
            "final_state": final,
            "returns": returns,
            "context": copy.deepcopy(child.context),
        }
        await self._hand_over(trusted(done_name(path), payload), bind)

    async def child_failed(self, path: str, error: Mapping[str, Any], final_state: str = "") -> None:
        """Called when a child failed: ``on_error`` of its state, or of an ancestor, is taken."""
        extras = self._more
        extras.children.pop(path, None)
        extras.finished.add(path)
        nodes, by_path = self._engine.plan.nodes, self._engine.plan.by_path
        handler = nodes[by_path[path]].handler
        invoke = self._invoke_of(path)
        payload = {"child": invoke.machine, "error": dict(error), "final_state": final_state, "state": path}
        if handler < 0:
            self.event_bus.report(
                BusError(
                    f"child {invoke.machine} of {self.definition.name}",
                    ChildFailedError(f"{error.get('code')}: {error.get('message')}"),
                )
            )
            if self._more.persistence is not None or self._more.parent is not None:
                await self._hand_over(trusted(SAVE), {})
            return
        await self._hand_over(trusted(error_name(nodes[handler].path), payload), {})

    async def _hand_over(self, signal: Signal, bind: Mapping[str, Any]) -> None:
        work = self.post(signal, bind=bind)
        if work is not None:
            await work

    async def _run_foreign(self, path: str, invoke: InvokeDef, runner: list[str]) -> None:
        extras = self._more
        envelope = build_invocation(invoke.machine, self._input(invoke), invoke.shots, dict(invoke.returns))
        with anyio.CancelScope() as scope:
            extras.foreign[path] = scope
            try:
                result = await dispatch_foreign_async(runner, envelope)
            except BridgeError as error:
                result = {"error": {"code": error.code, "message": error.message}, "final_state": ""}
            if extras.foreign.get(path) is not scope:
                return
            del extras.foreign[path]
            extras.finished.add(path)
            final = str(result["final_state"])
            if result["error"]:
                await self.child_failed(path, cast("Mapping[str, Any]", result["error"]), final)
                return
            returns = cast("Mapping[str, Any]", result["returns"])
            bind = {field: returns[name] for field, name in invoke.returns if name in returns}
            payload = {"child": invoke.machine, "final_state": final, "returns": dict(returns)}
            await self._hand_over(trusted(done_name(path), payload), bind)

    def _unclaimed(self, ticket: Any, error: Exception) -> None:
        """A failure that nobody awaits: a child tells its parent, others report it."""
        extras = self._extras
        if extras is not None and extras.parent is not None and isinstance(error, OrcaError):
            parent, path = extras.parent
            spawn(self._fail_upwards, parent, path, error)
            return
        super()._unclaimed(ticket, error)

    async def _fail_upwards(self, parent: OrcaMachine, path: str, error: OrcaError) -> None:
        self.detach()
        await cast("OrcaMachine", self).stop()
        await parent.child_failed(path, {"code": error.code, "message": error.message})


class ChildFailedError(OrcaError, RuntimeError):
    """A child failed and no state of its parent declares ``on_error``."""

    code = "CHILD_FAILED"
