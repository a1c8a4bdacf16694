"""Processors, their sets and their addresses in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orca.orchestrator.store.postgres_link import clean
from orca.orchestrator.store.records import InstanceRow, ProcessorRow

if TYPE_CHECKING:
    from orca.orchestrator.model import Registration

__all__ = ["load_processors", "register"]

_PROCESSORS = "SELECT id, set_version, definition, registered_ns FROM processors ORDER BY id"
_INSTANCES = """
SELECT processor_id, address, set_version, features, seen_ns FROM instances ORDER BY processor_id, address
"""
_OWN_INSTANCES = """
SELECT address, set_version, features, seen_ns FROM instances WHERE processor_id = $1 ORDER BY address
"""
_PROCESSOR = """
INSERT INTO processors (project, name, set_version, runtime, definition, registered_ns)
VALUES ($1, $2, 0, '', '', 0) ON CONFLICT (project, name) DO UPDATE SET name = excluded.name
RETURNING id, set_version, definition
"""
_NEW_SET = """
UPDATE processors SET set_version = $1, runtime = $2, definition = $3, registered_ns = $4 WHERE id = $5
"""
_REMEMBER_SET = """
INSERT INTO processor_history (processor_id, set_version, runtime, address, definition, registered_ns)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_INSTANCE = """
INSERT INTO instances (processor_id, address, set_version, features, seen_ns) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (processor_id, address) DO UPDATE SET
  set_version = excluded.set_version, features = excluded.features, seen_ns = excluded.seen_ns
"""


async def load_processors(connection: Any) -> list[ProcessorRow]:
    """Every processor with its instances."""
    instances: dict[int, list[InstanceRow]] = {}
    for processor_id, *entry in await connection.fetch(_INSTANCES):
        instances.setdefault(processor_id, []).append(InstanceRow(*entry))
    return [
        ProcessorRow(
            row["id"],
            row["set_version"],
            row["definition"],
            row["registered_ns"],
            tuple(instances.get(row["id"], ())),
        )
        for row in await connection.fetch(_PROCESSORS)
    ]


async def register(
    connection: Any, registration: Registration, text: str, features: str, now_ns: int
) -> ProcessorRow:
    """Store a processor's set; a changed one becomes the next version and goes into the history."""
    key = (registration.processor.project, registration.processor.name)
    row = await connection.fetchrow(_PROCESSOR, *key)
    processor_id, set_version = int(row["id"]), int(row["set_version"])
    definition, runtime = clean(text), clean(registration.runtime)
    if row["definition"] != definition:
        set_version += 1
        await connection.execute(_NEW_SET, set_version, runtime, definition, now_ns, processor_id)
        past = (processor_id, set_version, runtime, registration.address, definition, now_ns)
        await connection.execute(_REMEMBER_SET, *past)
    if registration.address:
        own = (processor_id, registration.address, set_version, features, now_ns)
        await connection.execute(_INSTANCE, *own)
    instances = tuple(InstanceRow(*entry) for entry in await connection.fetch(_OWN_INSTANCES, processor_id))
    return ProcessorRow(processor_id, set_version, text, now_ns, instances)
