"""The event bus: publish and subscribe, request and response, effect handlers."""

from __future__ import annotations

from orca.statemachine.runtime.bus import (
    EffectHandler,
    Event,
    EventBus,
    EventHandler,
    EventType,
    get_event_bus,
    reset_event_bus,
)

__all__ = [
    "EffectHandler",
    "Event",
    "EventBus",
    "EventHandler",
    "EventType",
    "get_event_bus",
    "reset_event_bus",
]
