"""Who offers what: registrations in memory and in the store, and what each window type triggers."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from orca.orchestrator.errors import NotFoundError, PlanError
from orca.orchestrator.execution import StepMemo, begin, group
from orca.orchestrator.model import ProcessorKey, Registration, WindowTypeDef, WindowTypeRef
from orca.orchestrator.planner import Plan, PlanCache, check
from orca.orchestrator.store.codec import decode_registration
from orca.orchestrator.wireform import algorithm_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orca.common.clock import Clock
    from orca.orchestrator.execution import Effect, Part, RunState
    from orca.orchestrator.model import AlgorithmRef, MetadataFieldDef
    from orca.orchestrator.store.port import Store
    from orca.orchestrator.store.records import ProcessorRow
    from orca.processor import wire

__all__ = ["PlanInfo", "Registry", "Trigger", "features_of", "plan_info"]

logger = logging.getLogger(__name__)

# Window types that nobody registered are remembered up to this number: they come from outside.
UNKNOWN_TYPES_MAX = 10_000


class _Referable:
    """Lets a class with slots be referred to weakly, which dataclasses themselves offer from Python 3.11 on."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True)
class PlanInfo(_Referable):
    """A plan with what dispatch needs of it ready made.

    Attributes:
        plan_id: Row in the store.
        type_id: Row of its window type.
        plan: The DAG.
        algorithm_ids: Row of each node's algorithm.
        messages: Each node's algorithm for the wire: name, version, description.
        refs: Each node's algorithm.
        by_name: Node of an algorithm.
        limits: Nodes whose algorithms may run only so often at once.
        begun: The kernel's state and effects at the start of a run.
        steps: The kernel's further steps, kept.
        processors: Everybody who runs a node.
        alone: Nodes that go out in calls of their own, because they look back.
        parts: The calls of a run's start, by the nodes and by which of the processors take chains.
    """

    plan_id: int
    type_id: int
    plan: Plan
    algorithm_ids: tuple[int, ...]
    messages: tuple[wire.Algorithm, ...]
    refs: tuple[AlgorithmRef, ...]
    by_name: dict[tuple[str, str], int]
    limits: dict[int, int]
    begun: tuple[RunState, tuple[Effect, ...]]
    steps: StepMemo
    processors: tuple[ProcessorKey, ...]
    alone: frozenset[int]
    parts: dict[tuple[Any, ...], tuple[Part, ...]] = field(default_factory=dict[Any, Any])

    def first_parts(self, ready: tuple[int, ...], fuses: Callable[[ProcessorKey], bool]) -> tuple[Part, ...]:
        """What `execution.group` says of a run that has just begun: the same for all of them."""
        key = (ready, *[fuses(processor) for processor in self.processors])
        found = self.parts.get(key)
        if found is None:
            found = self.parts[key] = group(self.plan, self.begun[0], ready, fuses=fuses, alone=self.alone)
        return found


def plan_info(plan: Plan, algorithm_ids: Sequence[int], *, plan_id: int, type_id: int) -> PlanInfo:
    """Make ready what every run of a plan needs.

    Args:
        plan: The DAG.
        algorithm_ids: Row of each node's algorithm.
        plan_id: The plan's row.
        type_id: Row of its window type.
    """
    begun = begin(plan)
    return PlanInfo(
        plan_id,
        type_id,
        plan,
        algorithm_ids=tuple(algorithm_ids),
        messages=tuple(_short(algorithm_message(node.definition)) for node in plan.nodes),
        refs=tuple(node.ref for node in plan.nodes),
        by_name={(node.ref.name, node.ref.version): node.index for node in plan.nodes},
        limits={
            node.index: node.definition.options.concurrency_max
            for node in plan.nodes
            if node.definition.options.concurrency_max
        },
        begun=begun,
        steps=StepMemo(plan, begun[0]),
        processors=tuple(dict.fromkeys(node.processor for node in plan.nodes)),
        alone=frozenset(node.index for node in plan.nodes if node.looks_back),
    )


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a window of one type sets off; ``info`` is None when nothing is registered for it.

    Attributes:
        type_id: Row of the window type.
        fields: Its metadata fields.
        info: The plan.
        registry: The registrations that it was made from: `Registry.version` of that time.
        hides: Whether some of the fields must not be stored.
    """

    type_id: int
    fields: tuple[MetadataFieldDef, ...]
    info: PlanInfo | None
    registry: int = 0
    hides: bool = False


class Registry:
    """Registrations, checked and planned.

    Args:
        store: Where they are kept.
        clock: For the time of a registration.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._plans = PlanCache()
        self._rows: dict[ProcessorKey, ProcessorRow] = {}
        self._triggers: dict[WindowTypeRef, Trigger] = {}
        # Kept by what triggers and by the runs that are open; a core that lives for months sees many plans.
        self._infos: WeakValueDictionary[int, PlanInfo] = WeakValueDictionary()
        self._offered: frozenset[tuple[ProcessorKey, AlgorithmRef]] | None = None
        self._changed: list[ProcessorRow] = []
        self._lock = asyncio.Lock()

    @property
    def version(self) -> int:
        """Grows with every change of a set; replicas of one store compare it."""
        return sum(row.set_version for row in self._rows.values())

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """Everybody's present set."""
        return self._plans.registrations

    @property
    def rows(self) -> dict[ProcessorKey, ProcessorRow]:
        """The stored rows with their instances."""
        return self._rows

    async def load(self) -> None:
        """Take up what the store knows: nobody has to register again after a restart."""
        await self.refresh()

    async def refresh(self) -> list[ProcessorRow]:
        """Take up what other replicas stored; gives the rows that have changed."""
        async with self._lock:
            await self._refresh()
            # Also what was found when a registration was checked.
            changed, self._changed = self._changed, []
            return changed

    async def _refresh(self) -> None:
        for row in await self._store.load_processors():
            registration = decode_registration(row.definition)
            known = self._rows.get(registration.processor)
            if known == row:
                continue
            if known is None or known.definition != row.definition:
                self._plans.replace(registration)
                self._triggers.clear()
                self._offered = None
            self._rows[registration.processor] = row
            self._changed.append(row)

    async def register(self, registration: Registration, *, features: str) -> ProcessorRow:
        """Check, store and plan a registration.

        Raises:
            PlanError: It conflicts with itself or with others; nothing was changed.
        """
        async with self._lock, self._store.registering():
            if self._store.shared:
                await self._refresh()
            problems = check(self._plans.registrations, registration)
            if problems:
                raise PlanError(problems)
            now_ns = int(self._clock.now() * 1e9)
            row = await self._store.register(registration, features=features, now_ns=now_ns)
            self._plans.replace(registration)
            self._offered = None
            self._rows[registration.processor] = row
            self._triggers.clear()
            for kind in {entry.window_type.ref for entry in registration.algorithms}:
                await self._plan(kind)
            return row

    async def forget_instance(self, key: ProcessorKey, address: str) -> None:
        """Drop an address that stays lost."""
        row = self._rows[key]
        await self._store.remove_instance(row.id, address)
        left = tuple(entry for entry in row.instances if entry.address != address)
        self._rows[key] = replace(row, instances=left)

    def known_trigger(self, kind: WindowTypeRef) -> Trigger | None:
        """The trigger of a window type when it is at hand."""
        return self._triggers.get(kind)

    async def trigger(self, kind: WindowTypeRef) -> Trigger:
        """The trigger of a window type; a type that nobody registered gets a row and no plan."""
        known = self._triggers.get(kind)
        if known is None:
            async with self._lock:
                known = self._triggers.get(kind) or await self._plan(kind)
        return known

    async def _plan(self, kind: WindowTypeRef) -> Trigger:
        plan = self._plans.get(kind)
        version = self.version
        definition = self._definition(kind)
        type_id = await self._store.window_type_id(definition)
        info = None
        if plan.nodes:
            info = await self._info(await self._store.plan_id(plan, type_id), type_id, plan)
        if len(self._triggers) >= UNKNOWN_TYPES_MAX:
            self._triggers.clear()
        hides = any(entry.no_store for entry in definition.fields)
        trigger = Trigger(type_id, definition.fields, info, version, hides)
        self._triggers[kind] = trigger
        return trigger

    def _definition(self, kind: WindowTypeRef) -> WindowTypeDef:
        found = WindowTypeDef(kind.name, kind.version)
        for registration in self._plans.registrations:
            for entry in registration.algorithms:
                if entry.window_type.ref == kind and (entry.window_type.fields or not found.description):
                    found = entry.window_type
                    if found.fields:
                        return found
        return found

    async def _info(self, plan_id: int, type_id: int, plan: Plan) -> PlanInfo:
        known = self._infos.get(plan_id)
        if known is None:
            ids = tuple([await self._store.algorithm_id(node.ref) for node in plan.nodes])
            known = plan_info(plan, ids, plan_id=plan_id, type_id=type_id)
            self._infos[plan_id] = known
        return known

    async def info(self, plan_id: int, type_id: int) -> PlanInfo:
        """A plan that a stored run was begun with."""
        known = self._infos.get(plan_id)
        if known is None:
            known = await self._info(plan_id, type_id, await self._store.load_plan(plan_id))
        return known

    @property
    def offered(self) -> frozenset[tuple[ProcessorKey, AlgorithmRef]]:
        """Which processor's present set has which algorithm."""
        if self._offered is None:
            self._offered = frozenset(
                (registration.processor, entry.ref)
                for registration in self._plans.registrations
                for entry in registration.algorithms
            )
        return self._offered

    def owner(self, algorithm: AlgorithmRef) -> Registration:
        """Who offers an algorithm.

        Raises:
            NotFoundError: Nobody does.
        """
        for registration in self._plans.registrations:
            if any(entry.ref == algorithm for entry in registration.algorithms):
                return registration
        raise NotFoundError(f"no processor has registered {algorithm}", hint="orca processors")


def _short(message: wire.Algorithm) -> wire.Algorithm:
    """What an execution request says of an algorithm: who it is, not what it needs."""
    message.ClearField("dependencies")
    message.ClearField("window_type")
    return message


def features_of(text: str) -> frozenset[str]:
    """The features that an instance row says."""
    return frozenset(json.loads(text or "[]"))
