"""Effect types, a registry of their handlers, and the published example effects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from orca.statemachine.runtime.bus import EffectHandler, EventBus
from orca.statemachine.runtime.types import Effect, EffectResult, EffectStatus

__all__ = [
    "Effect",
    "EffectHandler",
    "EffectRegistry",
    "EffectResult",
    "EffectStatus",
    "EffectType",
    "LoadRequest",
    "LoadResponse",
    "MoveRequest",
    "MoveResponse",
    "NarrativeRequest",
    "NarrativeResponse",
    "SaveRequest",
    "SaveResponse",
    "default_effect_handler",
    "default_narrative_handler",
    "effect_handler",
    "get_effect_registry",
    "register_effect_handlers",
    "reset_effect_registry",
]

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


@dataclass
class EffectType:
    """An effect type with its handler."""

    name: str
    handler: EffectHandler

    async def execute(self, payload: dict[str, Any]) -> EffectResult:
        """Call the handler with an effect of this type; what it raises goes through."""
        result: Any = self.handler(Effect(type=self.name, payload=payload))
        if inspect.isawaitable(result):
            result = await result
        return cast("EffectResult", result)


class EffectRegistry:
    """Handlers by effect type, apart from any bus."""

    def __init__(self) -> None:
        self._bus = EventBus()
        self._handlers: dict[str, EffectHandler] = {}

    def register(self, effect_type: str, handler: EffectHandler) -> None:
        """Set the handler of an effect type."""
        self._handlers[effect_type] = handler
        self._bus.register_effect_handler(effect_type, handler)

    def get_handler(self, effect_type: str) -> EffectHandler | None:
        """The handler of an effect type, or None."""
        return self._handlers.get(effect_type)

    def has_handler(self, effect_type: str) -> bool:
        """Whether an effect type has a handler."""
        return effect_type in self._handlers

    @property
    def effect_types(self) -> list[str]:
        """The effect types that have a handler."""
        return list(self._handlers)

    async def execute(self, effect: Effect) -> EffectResult:
        """Carry out an effect; a missing handler and an exception become a failure."""
        return await self._bus.execute_effect(effect)


@dataclass
class NarrativeRequest:
    """A narrative is wanted."""

    action: str
    context: dict[str, Any]
    event: dict[str, Any] | None = None


@dataclass
class NarrativeResponse:
    """A narrative."""

    narrative: str
    new_location: str | None = None


@dataclass
class MoveRequest:
    """A move is wanted."""

    direction: str
    context: dict[str, Any]


@dataclass
class MoveResponse:
    """Where a move led."""

    new_location: str
    description: str
    visited: bool = False


@dataclass
class SaveRequest:
    """A session is to be saved."""

    session_id: str


@dataclass
class SaveResponse:
    """Whether a session was saved, and when (Unix seconds)."""

    saved: bool
    timestamp: int


@dataclass
class LoadRequest:
    """A session is to be loaded."""

    session_id: str


@dataclass
class LoadResponse:
    """A session's context."""

    loaded: bool
    context: dict[str, Any]


async def default_narrative_handler(effect: Effect) -> EffectResult:
    """A stand-in narrative that names the action and keeps the location."""
    payload = effect.payload
    action = payload.get("action", "unknown")
    location = payload.get("context", {}).get("current_location")
    text = f"The world shifts around you... (action: {action})"
    return EffectResult(EffectStatus.SUCCESS, {"narrative": text, "new_location": location})


async def default_effect_handler(effect: Effect) -> EffectResult:  # noqa: ARG001 - the published signature
    """Success without data."""
    return EffectResult(EffectStatus.SUCCESS)


def effect_handler(effect_type: str) -> Callable[[HandlerT], HandlerT]:
    """Mark a function as the handler of an effect type, for a later registration."""

    def mark(handler: HandlerT) -> HandlerT:
        handler.__dict__["_effect_type"] = effect_type
        return handler

    return mark


def register_effect_handlers(
    registry: EffectRegistry, handlers: Mapping[str, EffectHandler] | None = None
) -> None:
    """Register several handlers, by effect type."""
    for effect_type, handler in (handlers or {}).items():
        registry.register(effect_type, handler)


_registries: list[EffectRegistry] = []


def get_effect_registry() -> EffectRegistry:
    """The registry of this process, with the default handlers in it."""
    if not _registries:
        registry = EffectRegistry()
        registry.register("NarrativeRequest", default_narrative_handler)
        registry.register("Effect", default_effect_handler)
        _registries.append(registry)
    return _registries[0]


def reset_effect_registry() -> None:
    """Forget the registry of this process."""
    _registries.clear()
