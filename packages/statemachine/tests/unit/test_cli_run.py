"""``orca machine run`` and ``replay``, and the blocking machine."""

from __future__ import annotations

import io
import json
import sys

import pytest

from orca.common.cli import main
from orca.common.errors import UsageError
from orca.statemachine import ActionError, parse_orca
from orca.statemachine.runtime.sync import SyncMachine

TEXT = """
machine Order
context { paid: int = 0 }
events { PAY, SHIP, NOISE }
state open [initial] { timeout: 30s -> expired  ignore: NOISE }
state paid
state shipped [final]
state expired [final]
guards { has_money: event.amount > 0 }
transitions { open + PAY [has_money] -> paid
 paid + SHIP -> shipped }

machine Child
context { k: int = 0 }
state w [initial] { timeout: 10ms -> f }
state f [final]

machine Stuck
state w [initial]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "order.orca"
    path.write_text(TEXT)
    return str(path)


def orca(*args: str) -> int:
    return main(["machine", *args])


def events(tmp_path, *steps: dict) -> str:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(json.dumps(step) for step in steps) + "\n\n")
    return str(path)


def test_run_from_a_file(tmp_path, file, capsys) -> None:
    steps = events(
        tmp_path, {"wait_s": 5}, {"event": "PAY"}, {"event": "NOISE"}, {"event": "PAY", "payload": {"amount": 1}},
        {"event": "SHIP"}, {"event": "SHIP"},
    )  # fmt: skip
    assert orca("run", file, "--events", steps) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["start", "open", "paid=0"]
    assert lines[1] == ["wait", "5", "open", "->", "open"]
    assert lines[2][:4] == ["PAY", "open", "->", "open"]
    assert "unknown" not in lines[2]
    assert lines[3][-1] == "(ignored)"
    assert lines[4] == ["PAY", "open", "->", "paid"]
    assert lines[5] == ["SHIP", "paid", "->", "shipped"]
    assert "done)" in lines[6][-1]


def test_run_waits_without_waiting(tmp_path, file, capsys) -> None:
    assert orca("run", file, "--events", events(tmp_path, {"wait_s": 30}), "--json") == 0
    assert [json.loads(line)["to"] for line in capsys.readouterr().out.splitlines()] == ["open", "expired"]


def test_run_by_hand(file, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('?\nPAY {"amount": 3}\nwait x\nPAY {\nwait 2\n\n'))
    assert orca("run", file, "--context", '{"paid": 2}') == 0
    out = capsys.readouterr().out
    assert "PAY\n" in out
    assert "open -> paid" in out
    assert "wait needs a number" in out
    assert "is not JSON" in out


def test_run_stores_and_replay_travels(tmp_path, file, capsys) -> None:
    store = str(tmp_path / "runs.db")
    steps = events(tmp_path, {"event": "PAY", "payload": {"amount": 1}})
    assert orca("run", file, "--store", store, "--run-id", "a", "--events", steps) == 0
    steps = events(tmp_path, {"event": "SHIP"})
    assert orca("run", file, "--store", store, "--run-id", "a", "--events", steps) == 0
    capsys.readouterr()
    assert orca("replay", file, "--store", store, "--run-id", "a") == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["0", "@start", "open"],
        ["1", "PAY", "paid"],
        ["2", "SHIP", "shipped"],
    ]
    assert (
        orca("replay", file, "--store", store, "--run-id", "a", "--step", "1", "--fork", "b", "--json") == 0
    )
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["state"] == "paid"
    assert second == "run b begins at step 1"
    assert orca("run", file, "--store", store, "--run-id", "b", "--events", steps) == 0
    assert "paid -> shipped" in capsys.readouterr().out


def test_bridge(file, capsys, monkeypatch) -> None:
    def invoke(child: str, shots: int | None = None) -> dict:
        call = {
            "protocol_version": "1.0",
            "child": child,
            "args": {"k": 1},
            "shots": shots,
            "return_bindings": {},
        }
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(call)))
        assert orca("run", file, "--bridge") == 0
        return json.loads(capsys.readouterr().out)

    assert invoke("Child") == {"protocol_version": "1.0", "final_state": "f", "returns": {}}
    assert invoke("Nobody")["error"]["code"] == "UNKNOWN_MACHINE"
    assert invoke("Stuck")["error"]["code"] == "NOT_DONE"
    assert invoke("Child", shots=5)["error"]["code"] == "BRIDGE_ERROR"
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"protocol_version": "2.0", "child": "Child"}'))
    assert orca("run", file, "--bridge") == 1
    assert "protocol_version" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["run", "FILE", "--machine", "Nobody"],
        ["run", "nowhere.orca"],
        ["run", "FILE", "--context", "[1]"],
        ["run", "FILE", "--context", "{"],
        ["run", "FILE", "--run-id", "x"],
        ["run", "FILE", "--events", "nowhere.jsonl"],
        ["replay", "FILE", "--store", "nowhere.db", "--run-id", "x"],
        ["replay", "FILE", "--store", "nowhere.db", "--run-id", "x", "--fork", "y"],
    ],
)
def test_wrong_usage_is_two(file, capsys, args) -> None:
    assert orca(*[file if a == "FILE" else a for a in args]) == 2
    assert capsys.readouterr().err


def test_wrong_steps_and_runs(tmp_path, file, capsys) -> None:
    assert orca("run", file, "--events", events(tmp_path, {"nothing": 1})) == 2
    store = str(tmp_path / "runs.db")
    assert orca("run", file, "--store", store, "--run-id", "a", "--events", events(tmp_path)) == 0
    assert orca("replay", file, "--store", store, "--run-id", "b") == 2
    assert "it has: a" in capsys.readouterr().err


def test_an_event_that_fails_ends_with_one(tmp_path, capsys) -> None:
    path = tmp_path / "loop.orca"
    path.write_text("machine L\nstate p [initial] { on_done: AGAIN state a [initial] state f [final] }\n"
                    "transitions { a + GO -> f\n p + AGAIN -> f }")  # fmt: skip
    assert orca("run", str(path), "--events", events(tmp_path, {"event": "GO"})) == 1
    assert "LIVELOCK" in capsys.readouterr().out


def test_the_blocking_machine() -> None:
    definition = parse_orca(TEXT)
    machine = SyncMachine(definition)
    with pytest.raises(UsageError):
        machine.send("PAY")
    with machine:
        machine.start()
        assert machine.send("PAY", {"amount": 1}).taken
        assert machine.state == "paid"
        assert machine.context == {"paid": 0}
        assert machine.snapshot()["configuration"] == ["paid"]
        assert machine.wait_for("paid", timeout_s=60) == "paid"
    machine.stop()
    child = parse_orca(TEXT[TEXT.index("machine Child") :])
    with SyncMachine(child) as timed:
        assert timed.wait_for("f", timeout_s=60) == "f"


def test_the_blocking_machine_raises_what_the_machine_raises() -> None:
    definition = parse_orca("machine M\nstate a [initial]\ntransitions { a + GO -> a : act }\n"
                            "actions { act: (ctx: Context) -> Context }")  # fmt: skip
    with SyncMachine(definition) as machine:
        machine.machine.register_action("act", lambda: 1 / 0)
        with pytest.raises(ActionError):
            machine.send("GO")
    entry = parse_orca(
        "machine M\nstate a [initial] { on_entry: act }\nactions { act: (ctx: Context) -> Context }"
    )
    broken = SyncMachine(entry)
    broken.machine.register_action("act", lambda: 1 / 0)
    with pytest.raises(ActionError):
        broken.start()
    broken.stop()
