"""One heat-wave machine per station, fed day by day in order, and durable: it goes on where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from stations import DAY, days

from orca.statemachine import EventBus, OrcaMachine, parse_orca
from orca.statemachine.runtime.sqlite import SQLiteStore

__all__ = ["DEFINITION", "HeatWatch", "replay"]

DEFINITION = parse_orca((Path(__file__).parent / "heat_wave.orca.md").read_text("utf-8"))


@dataclass
class HeatWatch:
    """The machine of one station.

    Results may arrive in any order; the machine gets them in the order of the days. Its context says which day
    was the last, so that a run that was killed neither skips nor repeats one.
    """

    station: str
    folder: Path
    store: SQLiteStore
    _waiting: dict[datetime, float] = field(default_factory=dict)
    _machine: OrcaMachine | None = None

    @property
    def machine(self) -> OrcaMachine:
        assert self._machine is not None, "open() comes first"
        return self._machine

    async def open(self) -> None:
        """Start the machine, or go on from what it stored."""
        self._machine = OrcaMachine(
            DEFINITION,
            event_bus=EventBus(),
            context={"station": self.station},
            persistence=self.store,
            run_id=self.station,
            strict=True,
            outbox=True,
        )
        self._register(self.machine)
        stored = self.store.load(self.station)
        if stored is None:
            await self.machine.start()
        else:
            await self.machine.resume(stored)

    def _register(self, machine: OrcaMachine) -> None:
        register_actions(machine)

        @machine.effect("Alert")
        def alert(effect: Any) -> dict[str, Any]:
            # Delivered at least once: the id tells a repetition.
            known = {line["id"] for line in self._alerts()}
            if effect.id not in known:
                day = effect.payload["event"]["day"]
                with self._alerts_path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": effect.id, "station": self.station, "day": day}) + "\n")
            return {}

    @property
    def last_day(self) -> datetime | None:
        """The last day that the machine has seen."""
        text = self.machine.context["last_day"]
        return datetime.fromisoformat(text) if text else None

    async def add(self, day: datetime, high_c: float) -> None:
        """Take one day's highest temperature; send it and what waits behind it when its turn has come."""
        last = self.last_day
        if last is not None and day <= last:
            return
        self._waiting[day] = high_c
        turn = days()[0] if last is None else last + DAY
        while turn in self._waiting:
            high = self._waiting.pop(turn)
            result = await self.machine.send("DAY", {"day": turn.isoformat(), "high_c": high})
            assert result.taken, result.error
            turn += DAY

    async def close_year(self) -> None:
        """The year is over; a machine that knows it already stays as it is."""
        if not self.machine.is_done:
            await self.machine.send("YEAR_END")

    @property
    def alerts(self) -> list[datetime]:
        """When heat waves were announced."""
        return [datetime.fromisoformat(line["day"]) for line in self._alerts()]

    @property
    def _alerts_path(self) -> Path:
        return self.folder / f"alerts-{self.station}.jsonl"

    def _alerts(self) -> list[dict[str, Any]]:
        path = self._alerts_path
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


async def replay(station: str, highs: dict[datetime, float]) -> tuple[dict[datetime, str], dict[str, Any]]:
    """The state after each day and the final context, from a fresh machine that stores nothing."""
    machine = OrcaMachine(DEFINITION, event_bus=EventBus(), context={"station": station})
    register_actions(machine)
    machine.register_effect("Alert", lambda effect: {})
    states: dict[datetime, str] = {}
    await machine.start()
    for day in sorted(highs):
        await machine.send("DAY", {"day": day.isoformat(), "high_c": highs[day]})
        states[day] = machine.state.leaf()
    return states, dict(machine.context)


def register_actions(machine: OrcaMachine) -> None:
    """What the machine's actions do to its context."""

    @machine.action("reset_count")
    @machine.action("all_clear")
    def reset_count(context: dict[str, Any]) -> dict[str, Any]:
        return {"hot_days": 0}

    @machine.action("note_day")
    def note_day(context: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        hottest = event["high_c"] > context["hottest_c"]
        return {
            "last_day": event["day"],
            "hottest_c": event["high_c"] if hottest else context["hottest_c"],
            "hottest_day": event["day"] if hottest else context["hottest_day"],
        }

    @machine.action("count_hot_day")
    def count_hot_day(context: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        return {**note_day(context, event), "hot_days": context["hot_days"] + 1}

    @machine.action("announce")
    def announce(context: dict[str, Any]) -> dict[str, Any]:
        return {"waves": context["waves"] + 1}
