"""Migrations are tried on everywhere that a machine of the old definition can be."""

from __future__ import annotations

import pytest

from orca.statemachine import EventBus, OrcaMachine, parse_orca
from orca.statemachine.runtime.migrations import PartialMigrationError, check_migration

pytestmark = pytest.mark.anyio
OLD = parse_orca("""
machine Order
version: 1.0.0
context { total: int = 0, note: string = "", tags: string[] = [] }
state open [initial] { timeout: 1h -> late }
state pay { state card [initial] state cash state last [history] }
state late
state split {
  parallel {
    region one { state x [initial] state y }
    region two { state u [initial] state v }
  }
}
transitions {
 open + PAY [ctx.total > 0] -> pay
 card + SWITCH -> cash
 pay + BACK -> open
 open + AGAIN -> last
 open + SPLIT -> split
 x + GO -> y
 u + GO -> v
}
""")
NEW = parse_orca("""
machine Order
version: 2.0.0
context { amount: int = 0, note: string = "", tags: string[] = [] }
state open [initial] { timeout: 1h -> late }
state paying { state card [initial] state coins state last [history] }
state late
state split {
  parallel {
    region one { state x [initial] state y }
    region two { state u [initial] state v }
  }
}
transitions {
 open + PAY -> paying
 card + SWITCH -> coins
 paying + BACK -> open
 open + AGAIN -> last
 open + SPLIT -> split
 x + GO -> y
 u + GO -> v
}
""")
NAMES = {"pay": "paying", "pay.card": "paying.card", "pay.cash": "paying.coins", "pay.last": "paying.last"}


def total(snapshot):
    snapshot["configuration"] = [NAMES.get(path, path) for path in snapshot["configuration"]]
    snapshot["history"] = {
        NAMES.get(path, path): [NAMES.get(state, state) for state in states]
        for path, states in snapshot["history"].items()
    }
    snapshot["context"]["amount"] = snapshot["context"].pop("total")
    snapshot.update(definition_version="2.0.0", definition_hash=None)
    del snapshot["state"]
    return snapshot


def test_a_total_migration_has_no_gaps() -> None:
    assert check_migration(total, OLD, NEW) == ()


def test_a_state_that_is_forgotten_is_named() -> None:
    def forgets_cash(snapshot):
        snapshot = total(snapshot)
        snapshot["configuration"] = [path.replace("coins", "cash") for path in snapshot["configuration"]]
        return snapshot

    gaps = check_migration(forgets_cash, OLD, NEW)
    assert {gap.place for gap in gaps} == {"pay.cash"}
    assert "'paying.cash'" in gaps[0].why


def test_what_history_remembers_is_tried() -> None:
    def forgets_history(snapshot):
        kept = snapshot["history"]
        return {**total(snapshot), "history": kept}

    gaps = check_migration(forgets_history, OLD, NEW)
    assert gaps
    assert "timers or history name 'pay.last'" in str(gaps[0])


def test_fields_that_are_lost_or_unknown_are_named() -> None:
    def loses_note(snapshot):
        snapshot = total(snapshot)
        snapshot["context"]["note"] = ""
        return snapshot

    assert [str(gap) for gap in check_migration(loses_note, OLD, NEW)] == ["context.note: its value is lost"]
    assert check_migration(loses_note, OLD, NEW, drops=["note"]) == ()

    def keeps_total(snapshot):
        snapshot = total(snapshot)
        snapshot["context"]["total"] = snapshot["context"]["amount"]
        return snapshot

    assert "lacks: total" in str(check_migration(keeps_total, OLD, NEW)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"definition_version": "1.5.0"}, "is of version '1.5.0'"),
        ({"machine": "Other"}, "belongs to machine 'Other'"),
        ({"configuration": ["open", "late"]}, "active children"),
    ],
)
def test_results_that_do_not_fit(change, message) -> None:
    gaps = check_migration(lambda snapshot: {**total(snapshot), **change}, OLD, NEW)
    assert message in gaps[0].why


def test_a_migration_that_raises_is_named_with_its_state() -> None:
    def raises(snapshot):
        if "pay.cash" in snapshot["configuration"]:
            raise KeyError("cash")
        return total(snapshot)

    gaps = check_migration(raises, OLD, NEW)
    assert [str(gap) for gap in gaps] == ["pay.cash: the migration raises KeyError: 'cash'"]


def test_an_exhausted_budget_is_said() -> None:
    gaps = check_migration(total, OLD, NEW, budget=1)
    assert gaps[-1].place == "budget"


async def test_machines_register_only_total_migrations() -> None:
    machine = OrcaMachine(NEW, EventBus())
    with pytest.raises(PartialMigrationError, match=r"is not total: .* more") as caught:
        machine.register_migration("1.0.0", lambda snapshot: snapshot, old=OLD)
    assert len(caught.value.gaps) > 3
    machine.register_migration("1.0.0", total, old=OLD)
    before = OrcaMachine(OLD, EventBus(), context={"total": 5})
    async with before:
        await before.send("PAY")
        await before.send("SWITCH")
        await before.send("BACK")
        await before.send("AGAIN")
        snapshot = before.snapshot()
    await machine.resume(snapshot)
    assert machine.state == "paying.coins"
    assert machine.context["amount"] == 5
    await machine.stop()
