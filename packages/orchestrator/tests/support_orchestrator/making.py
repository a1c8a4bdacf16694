"""Short ways to make the kernel's values in tests."""

from __future__ import annotations

from orca.orchestrator.model import (
    AlgorithmDef,
    AlgorithmOptions,
    AlgorithmRef,
    Dependency,
    LookBack,
    MetadataFieldDef,
    ProcessorKey,
    Registration,
    WindowTypeDef,
    WindowTypeRef,
)
from orca.orchestrator.planner import Plan, build_plan

WINDOW = WindowTypeDef("Every30Second", "1.0.0")
WINDOW_REF = WINDOW.ref


def ref(name: str, version: str = "1.0.0") -> AlgorithmRef:
    return AlgorithmRef(name, version)


def need(
    name: str, version: str = "1.0.0", *, processor: str = "", lookback: LookBack | None = None
) -> Dependency:
    return Dependency(ref(name, version), processor, lookback)


def algorithm(
    name: str,
    *needs: Dependency | str,
    version: str = "1.0.0",
    window: WindowTypeDef = WINDOW,
    attempts: int = 1,
    itself: LookBack | None = None,
) -> AlgorithmDef:
    dependencies = tuple(need(entry) if isinstance(entry, str) else entry for entry in needs)
    return AlgorithmDef(
        name,
        version,
        window,
        dependencies,
        self_lookback=itself,
        options=AlgorithmOptions(attempts_max=attempts),
    )


def processor(name: str, *algorithms: AlgorithmDef, project: str = "") -> Registration:
    return Registration(ProcessorKey(project, name), tuple(algorithms))


def plan_of(*registrations: Registration, window: WindowTypeRef = WINDOW_REF) -> Plan:
    return build_plan(registrations, window)


def window_type(name: str, *fields: MetadataFieldDef, version: str = "1.0.0") -> WindowTypeDef:
    return WindowTypeDef(name, version, "", tuple(fields))
