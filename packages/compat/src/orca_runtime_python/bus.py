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
from orca.statemachine.runtime.types import Effect, EffectResult, EffectStatus

__all__ = [
    "Effect",
    "EffectHandler",
    "EffectResult",
    "EffectStatus",
    "Event",
    "EventBus",
    "EventHandler",
    "EventType",
    "get_event_bus",
    "reset_event_bus",
]
