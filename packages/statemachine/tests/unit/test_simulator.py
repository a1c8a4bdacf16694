"""The simulator, and the page of ``orca machine dev`` that shows it, over real HTTP and as a real program."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orca.common.cli import run as run_cli
from orca.common.errors import OrcaError, UsageError
from orca.statemachine import parse_orca
from orca.statemachine.cli import _devserver, app
from orca.statemachine.cli._devserver import DevServer
from orca.statemachine.cli._session import FINDINGS_MAX, Session
from orca.statemachine.simulator import FRAMES_MAX, Simulator

ORDER = """machine Order
context { paid: int = 0, note: string? }
events { PAY, SHIP, LATE }
state open [initial] {
  timeout: 90s -> expired
  on_error: -> expired
}
state sent {
  invoke: Courier
  on_done: -> done
  on_error: -> expired
}
state done [final]
state expired [final]
transitions {
  open + PAY [event.amount > 0] -> open : charge
  open + SHIP [paid > 0] -> sent
}
actions {
  charge: (ctx: Context) -> Context + Effect<Charge>
}
"""
PING = "machine Ping\nstate a [initial]\nstate b\ntransitions {\n  a + GO -> b\n  b -> a\n  a -> b\n}\n"
TWO = "machine One\nstate a [initial]\nmachine Two\nstate b [initial]\n"


def order() -> Simulator:
    return Simulator(parse_orca(ORDER))


def test_what_may_happen_and_what_it_would_do() -> None:
    run = order()
    found = [(one.kind, one.label, one.verdict, one.leaves, one.why) for one in run.choices()]
    assert found == [
        ("timeout", "90s pass in open", "taken", ("expired",), ""),
        ("error", "something fails in open", "taken", ("expired",), ""),
        ("event", "PAY", "guard", (), "event.amount > 0: null > 0 has no answer"),
        ("event", "SHIP", "guard", (), "ctx.paid > 0"),
        ("event", "LATE", "unhandled", (), ""),
    ]
    assert run.send("PAY", {"amount": 5}).commands == (
        "no timer of open",
        "exit open",
        "run charge (effect Charge)",
        "enter open",
        "timer of open: 90s",
    )
    run.set({"paid": 5})
    sent = run.send("SHIP")
    assert sent.sets == {"paid": 5}
    assert sent.commands[-1] == "start Courier in sent"
    assert [one.event for one in run.choices()][:2] == ["@done.sent", "@error.sent"]
    assert run.send("@done.sent").commands[-1] == "done in done"
    assert run.choices() == ()
    with pytest.raises(UsageError, match="`Order` is done"):
        run.send("PAY")


def test_wrong_names_are_errors_that_name_them() -> None:
    run = order()
    with pytest.raises(UsageError, match=r"nothing called `@done\.sent` can happen to `Order` now"):
        run.send("@done.sent")
    with pytest.raises(UsageError, match="`pain` is not in the context of `Order`") as caught:
        run.set({"pain": 1})
    assert caught.value.hint == "it has note, paid"
    with pytest.raises(UsageError, match="`pain`"):
        Simulator(parse_orca(ORDER), {"pain": 1})
    for _ in range(FRAMES_MAX - 1):
        run.send("LATE")
    with pytest.raises(UsageError, match="steps are kept"):
        run.send("LATE")


@pytest.mark.parametrize("value", [float("nan"), {1}, [[]] * 2 + [b""]])
def test_what_json_cannot_hold_is_an_error(value: object) -> None:
    run = order()
    with pytest.raises(UsageError, match="the context has no JSON form"):
        run.set({"paid": value})
    with pytest.raises(UsageError, match="the payload has no JSON form"):
        run.send("PAY", {"amount": value})
    assert (len(run.frames), run.pending) == (1, {})


def test_a_machine_that_never_becomes_stable_does_not_start_and_says_why() -> None:
    run = Simulator(parse_orca(PING))
    assert (run.now.verdict, run.now.leaves, run.choices()) == ("failed", (), ())
    assert "not stable after 1000 microsteps" in run.now.why
    with pytest.raises(UsageError, match="`Ping` did not start"):
        run.send("GO")


def test_a_changed_definition_goes_the_same_way_and_says_what_differs() -> None:
    run = order()
    run.set({"paid": 1, "note": "x"})
    run.send("PAY", {"amount": 5})
    run.send("SHIP")
    run.set({"paid": 7})
    mended = run.replay(parse_orca(ORDER.replace("[event.amount > 0] -> open", "-> sent")))
    assert [frame.differs for frame in mended.frames] == [False, True, False]
    assert mended.values["paid"] == 7
    without = ORDER.replace(", note: string?", "").replace("  open + SHIP [paid > 0] -> sent\n", "")
    shorter = run.replay(parse_orca(without.replace(" SHIP,", "")))
    assert [frame.event for frame in shorter.frames] == ["", "PAY"]
    assert shorter.frames[1].sets == {"paid": 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "order.orca"
    path.write_text(ORDER)
    return path


def change(path: Path, text: str) -> None:
    """Write a file so that its time differs however coarse the clock of its disk is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_a_session_follows_its_file(file: Path) -> None:
    session = Session(file)
    session.send("PAY", {"amount": 1})
    assert not session.refresh()
    change(file, ORDER.replace("] -> sent", "] -> snt"))
    assert session.refresh()
    state = session.state()
    assert state["stale"]
    assert "did you mean `sent`?" in state["findings"][0]["text"]
    assert len(state["run"]["frames"]) == 2
    change(file, ORDER.replace("PAY", "BUY"))
    assert session.refresh()
    state = session.state()
    assert (state["stale"], state["note"]) == (False, "1 of 1 steps cannot happen any more")
    assert session.summary() == "1 of 1 steps cannot happen any more"
    change(file, ORDER.replace("machine Order", "machine Sale"))
    session.refresh()
    assert session.state()["note"] == "Order is gone: this is Sale"
    file.unlink()
    assert session.refresh()
    assert f"no file or folder {file}" in session.state()["note"]
    change(file, ORDER)
    session.refresh()
    assert session.state()["run"]["machine"] == "Order"


def test_a_file_with_errors_waits_to_be_mended(file: Path) -> None:
    file.write_text("machine Order\nstate open [initial]\ntransitions {\n  open + GO -> nowhere\n}\n")
    session = Session(file, "Order")
    assert session.state()["run"] is None
    for call in (session.picture, session.trace, session.back):
        with pytest.raises(UsageError, match="has no machine that can run"):
            call()
    change(file, TWO)
    session.refresh()
    assert session.state()["note"] == f"there is no machine `Order` in {file} (it has One, Two)"
    change(file, ORDER)
    session.refresh()
    assert session.state()["run"]["leaves"] == ("open",)


def test_several_machines_and_other_contexts(file: Path) -> None:
    change(file, ORDER + TWO)
    session = Session(file, "Order", {"paid": 3})
    session.restart()
    assert session.state()["run"]["context"][0]["value"] == 3
    session.restart(context={"paid": 4})
    session.restart("Two")
    assert session.state()["run"]["leaves"] == ("b",)
    with pytest.raises(UsageError, match="there is no machine `Three`"):
        session.restart("Three")
    with pytest.raises(UsageError, match="there is no machine `Three`") as caught:
        Session(file, "Three")
    assert caught.value.hint == "it has Order, One, Two"
    with pytest.raises(UsageError, match="is a folder"):
        Session(file.parent)
    change(file, "machine M\nstate a [initial]\n" + "state a\n" * (FINDINGS_MAX + 5))
    assert Session(file).state()["more_findings"] > 0


def test_whoever_waits_learns_of_a_change(file: Path) -> None:
    session = Session(file)
    version = session.state()["version"]
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(session.wait(version, 60)))
    waiting.start()
    session.set({"paid": 1})
    waiting.join(60)
    assert found == [version + 1]
    with pytest.raises(UsageError):
        session.set({"nothing": 1})
    assert session.wait(version + 1, 0) == version + 1


class Asker:
    """One server and what a program on this machine may ask it."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self.host = f"127.0.0.1:{server.server_port}"

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        text = body if isinstance(body, (str, bytes)) else json.dumps(body) if body is not None else None
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, text, sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.headers = answer.headers
        return answer.status, json.loads(data) if answer.headers[
            "Content-Type"
        ] == "application/json" else data


@pytest.fixture
def ask(file: Path) -> Iterator[Asker]:
    with DevServer(Session(file)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Asker(server)
        server.shutdown()
        thread.join(60)


def test_the_page_and_what_it_asks(ask: Asker) -> None:
    for path in ("/", "/dev.js", "/dev.css"):
        status, data = ask("GET", path)
        assert (status, bool(data)) == (200, True)
        assert "default-src 'none'" in ask.headers["Content-Security-Policy"]
        assert ask.headers["X-Content-Type-Options"] == "nosniff"
    status, picture = ask("GET", "/diagram.svg")
    assert (status, ask.headers["Content-Type"], picture[:4]) == (200, "image/svg+xml", b"<svg")
    status, state = ask("GET", "/state?after=-1")
    assert (status, state["run"]["leaves"]) == (200, ["open"])
    _, state = ask("POST", "/send", {"event": "PAY", "payload": {"amount": 1}}, X_Orca="1")
    assert state["run"]["frames"][-1]["payload"] == {"amount": 1}
    _, state = ask("POST", "/set", {"values": {"paid": 2}}, X_Orca="1")
    assert state["run"]["context"][0] == {"name": "paid", "type": "int", "value": 2, "set": True}
    _, state = ask("POST", "/back", {}, X_Orca="1")
    assert state["run"]["context"][0]["value"] == 0
    _, state = ask("POST", "/restart", {"machine": "Order", "context": {"paid": 9}}, X_Orca="1")
    assert (len(state["run"]["frames"]), state["run"]["context"][0]["value"]) == (1, 9)
    status, trace = ask("GET", "/trace.json")
    assert (status, trace["context"], trace["start"]["leaves"]) == (200, {"paid": 9}, ["open"])


def test_what_is_not_for_it_is_refused(ask: Asker) -> None:
    assert ask("GET", "/state", Host="evil.example")[0] == 421
    assert ask("GET", "/state?after=-1", Origin="http://evil.example")[0] == 403
    assert ask("GET", "/state?after=-1", Origin=f"http://{ask.host}")[0] == 200
    assert ask("POST", "/back", {}, Host="evil.example", X_Orca="1")[0] == 421
    assert ask("POST", "/back", {})[0] == 403
    assert ask("GET", "/../pyproject.toml")[0] == 404
    assert ask("POST", "/nothing", {}, X_Orca="1")[0] == 404
    assert ask("POST", "/back", "{", X_Orca="1") == (400, {"error": "the body is not a JSON object"})
    assert ask("POST", "/back", "[" * 100_000, X_Orca="1")[0] == 400
    for number in ("NaN", "1e999", "[" * 500 + "]" * 500, "[" * 40 + "]" * 40):
        assert ask("POST", "/set", f'{{"values": {{"paid": {number}}}}}', X_Orca="1")[0] == 400
        assert ask("POST", "/send", f'{{"event": "PAY", "payload": {{"a": {number}}}}}', X_Orca="1")[0] == 400
    # None of these has spoilt the page.
    assert ask("GET", "/state?after=-1")[0] == 200
    assert ask("POST", "/set", {"values": [1]}, X_Orca="1")[1] == {"error": "`values` must be a JSON object"}
    assert ask("POST", "/send", {"event": 1}, X_Orca="1")[1] == {"error": "`event` must be a string"}
    assert ask("POST", "/set", {"values": {"pain": 1}}, X_Orca="1") == (
        400,
        {"error": "`pain` is not in the context of `Order` (it has note, paid)"},
    )
    assert ask("GET", "/state?after=x")[0] == 400
    assert ask("POST", "/back", None, X_Orca="1", Content_Length=str(_devserver.BODY_MAX + 1))[0] == 413
    assert ask("POST", "/back", None, X_Orca="1", Content_Length="many")[0] == 411
    # A lone half of a character, as JSON can write one, comes back as it went in.
    _, state = ask("POST", "/set", '{"values": {"note": "\\ud800"}}', X_Orca="1")
    assert state["run"]["context"][1]["value"] == "\ud800"


def test_connections_beyond_the_limit_are_closed_and_free_ones_used_again(
    ask: Asker,
) -> None:
    where = ("127.0.0.1", ask.server.server_port)
    silent = [socket.create_connection(where, 60) for _ in range(_devserver.CONNECTIONS_MAX)]
    # They are taken in the order in which they came, so one more is beyond the limit.
    with socket.create_connection(where, 60) as one_more:
        assert one_more.recv(1) == b""
    for one in silent:
        one.sendall(f"GET /dev.css HTTP/1.1\r\nHost: {ask.host}\r\nConnection: close\r\n\r\n".encode())
        assert one.recv(12) == b"HTTP/1.1 200"
        one.close()
    places = [ask.server.places.acquire(timeout=60) for _ in range(_devserver.CONNECTIONS_MAX)]
    assert all(places)
    ask.server.places.release(len(places))
    assert ask("GET", "/")[0] == 200


PROGRAM = "import sys; from orca.common.cli import main; sys.exit(main())"


@pytest.fixture
def command(file: Path) -> Iterator[subprocess.Popen[str]]:
    """``orca machine dev`` on the file, which has told where it is."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "machine", "dev", str(file), "-c", "paid=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_follows_the_file_until_ctrl_c(command: subprocess.Popen[str], file: Path) -> None:
    assert command.stdout is not None
    assert command.stderr is not None
    lines = [command.stdout.readline() for _ in range(4)]
    assert lines[0].strip() == str(file)
    port = int(lines[1].rsplit(":", 1)[1])
    assert lines[3].startswith("1 file, 0 errors")
    with socket.create_connection(("127.0.0.1", port), 60):
        pass
    change(file, "machine Order\nstate open [initial\n")
    assert "error" in command.stdout.readline()
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 0
    assert command.stderr.read() == ""


def test_the_command_says_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def machine(*arguments: object) -> int:
        return run_cli(app, [str(one) for one in arguments], prog="orca machine")

    assert machine("dev", file.with_name("nothing.orca")) == 2
    assert machine("dev", "-") == 2
    assert machine("dev", file, "-m", "Nothing") == 2
    assert machine("dev", file, "-c", "pain=1") == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert machine("dev", file, "--port", taken.getsockname()[1]) == 2
    err = capsys.readouterr().err
    assert "nothing.orca is not a file" in err
    assert "it has Order" in err
    assert "`pain` is not in the context" in err
    assert "hint: --port 0 takes a free one" in err


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OrcaError, match="cannot be read"):
        Session(file)
