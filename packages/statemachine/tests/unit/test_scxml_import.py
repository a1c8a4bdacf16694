"""SCXML documents run as the standard says."""

from __future__ import annotations

import asyncio

import pytest

from orca.common.testing import FakeClock
from orca.statemachine import EventBus, OrcaMachine, ParseError, parse_orca
from orca.statemachine.engine import Compiled, Reference, SendLater, initial_snapshot, step
from orca.statemachine.outputs.scxml import to_scxml
from orca.statemachine.scxml import ScxmlError, ScxmlMachine, load_scxml


def document(body: str, **attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"{given}>{body}</scxml>'


def play(text: str, *events: str) -> list[str]:
    """The leaves after the start and after each event, the same on both engines."""
    chart = load_scxml(text)
    plan, ways = chart.plan(), []
    for engine in (Reference(plan), Compiled(plan)):
        snapshot, way = initial_snapshot(plan), []
        for event in (None, *events):
            snapshot = step(plan, snapshot, event, handlers=chart.handlers(), engine=engine).snapshot
            way.append(plan.describe(snapshot.configuration))
        ways.append(way)
    assert ways[0] == ways[1]
    return ways[0]


def test_raise_assign_and_eventless_transitions() -> None:
    text = document(
        """<datamodel><data id="Var1" expr="1"/></datamodel>
        <state id="s0"><onentry><assign location="Var1" expr="Var1 + 1"/><raise event="foo"/></onentry>
          <transition event="foo" cond="Var1 == 2" target="s1"/><transition event="*" target="fail"/></state>
        <state id="s1"><onentry><raise event="a.b"/></onentry>
          <transition event="a" target="s2"/></state>
        <state id="s2"><transition cond="Var1 === 2" target="pass"/></state>
        <final id="pass"/><final id="fail"/>""",
        initial="s0",
    )
    assert play(text) == ["pass"]


def test_parallel_done_data_and_internal_transitions() -> None:
    text = document(
        """<datamodel><data id="n" expr="0"/></datamodel>
        <parallel id="p"><transition event="done.state.p" target="out"/>
          <state id="r1" initial="a"><onentry><assign location="n" expr="n + 1"/></onentry>
            <state id="a"><transition event="go" target="f1"/></state><final id="f1"/></state>
          <state id="r2"><initial><transition target="c"/></initial>
            <state id="c"><transition event="go" target="f2"/></state><final id="f2"/></state>
        </parallel>
        <state id="out"><transition event="next" target="w"/></state>
        <state id="w"><onentry><assign location="n" expr="n + 10"/></onentry>
          <transition event="in" type="internal" target="y"/>
          <transition event="done.state.w" cond="_event.data.answer == 42 &amp;&amp; n == 11" target="pass"/>
          <state id="x"/><state id="y"><transition event="end" target="z"/></state>
          <final id="z"><donedata><param name="answer" expr="42"/></donedata></final></state>
        <final id="pass"/>"""
    )
    assert play(text, "go", "next", "in", "end") == ["p.r1.a, p.r2.c", "out", "w.x", "w.y", "pass"]


def test_history() -> None:
    text = document(
        """<state id="p"><history id="h" type="deep"><transition target="b"/></history>
          <state id="a"/>
          <state id="b"><state id="b1"><transition event="x" target="b2"/></state><state id="b2"/></state>
          <transition event="out" target="o"/></state>
        <state id="o"><transition event="in" target="h"/></state>""",
        initial="o",
    )
    assert play(text, "in", "x", "out", "in") == ["o", "p.b.b1", "p.b.b2", "o", "p.b.b2"]


def test_send_with_delay_and_cancel() -> None:
    text = document(
        """<datamodel><data id="n" expr="7"/></datamodel>
        <state id="a"><onentry>
          <send event="late" delay="1.5s" id="one"><param name="n" expr="n"/></send>
          <send event="never" delay="500ms" id="two"/><cancel sendid="two"/>
          <log label="n" expr="n"/></onentry>
          <transition event="never" target="fail"/>
          <transition event="late" cond="_event.data.n == 7" target="pass"/></state>
        <final id="pass"/><final id="fail"/>"""
    )
    chart = load_scxml(text)
    plan = chart.plan()
    commands = step(plan, initial_snapshot(plan), handlers=chart.handlers()).commands
    assert [c.event.delay_ms for c in commands if isinstance(c, SendLater)] == [1500, 500]

    async def main() -> str:
        clock = FakeClock(auto=False)
        async with chart.machine(event_bus=EventBus(), clock=clock) as machine:
            await clock.advance_async(2)
            return str(machine.state)

    assert asyncio.run(main()) == "pass"


def test_invoke() -> None:
    child = load_scxml(
        document('<state id="w"><transition event="x" target="f"/></state><final id="f"/>', name="Kid")
    )
    parent = load_scxml(
        document(
            """<datamodel><data id="k" expr="'v'"/></datamodel>
            <state id="a"><invoke id="i" src="Kid"><param name="given" location="k"/></invoke>
              <transition event="done.invoke.i" target="pass"/></state><final id="pass"/>"""
        )
    )

    async def main() -> str:
        machine = parent.machine(event_bus=EventBus())
        machine.register_machines({"Kid": child.definition})
        async with machine:
            inside = machine.children["a"]
            assert inside.context == {"given": "v"}
            await inside.send("x")
            return str(machine.state)

    assert asyncio.run(main()) == "pass"


PARENT = """
machine Parent
context { k: string = "v", left: int = 7, answer: int = 0 }
state a [initial] {
  invoke: Kid input: { given: ctx.k, n: ctx.left, minus: -2, word: "a < b & c", none: null, yes: true }
    returns: { answer: made } failures: [broken]
  on_done: -> fine
  on_error: -> bad
}
state fine [final]
state bad [final]
"""
KID = """
machine Kid
context { given: string?, n: int?, minus: int?, word: string?, none: int?, yes: bool?, made: int = 0 }
state w [initial]
state f [final]
state broken [final]
transitions { w + x -> f : make
 w + y -> broken }
returns { made: int }
"""


@pytest.mark.parametrize(("event", "state", "answer"), [("x", "fine", 42), ("y", "bad", 0)])
def test_an_invocation_that_was_written_reads_back(event: str, state: str, answer: int) -> None:
    first = parse_orca(PARENT)
    back = load_scxml(to_scxml(first)).definition
    ours, theirs = first.states[0].invoke, back.states[0].invoke
    assert ours is not None
    assert theirs == ours

    async def main(chart: ScxmlMachine | None) -> tuple[str, dict, object]:
        machine = OrcaMachine(first, EventBus()) if chart is None else chart.machine(event_bus=EventBus())
        machine.register_machines({"Kid": parse_orca(KID)})
        async with machine:
            inside = machine.children["a"]
            inside.register_action("make", lambda: {"made": 42})
            given = {name: value for name, value in inside.context.items() if name != "made"}
            await inside.send(event)
            return str(machine.state), given, machine.context["answer"]

    written = asyncio.run(main(None))
    read = asyncio.run(main(load_scxml(to_scxml(first))))
    given = {"given": "v", "n": 7, "minus": -2, "word": "a < b & c", "none": None, "yes": True}
    assert written == read == (state, given, answer)


def test_errors_are_events() -> None:
    text = document(
        """<datamodel><data id="n" expr="null"/></datamodel>
        <state id="a"><transition event="go" target="b"><assign location="n" expr="n + 1"/></transition>
          <transition event="error.*" target="pass"/></state>
        <state id="b"/><final id="pass"/>"""
    )
    assert play(text, "go") == ["a", "pass"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<scxml", "not XML"),
        ("<other/>", "outermost"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><scxml/>', "entity"),
        (document('<state id="a"/><state id="a"/>'), "two states"),
        (document('<state id="a"><transition event="x" target="b"/></state>'), "'b'"),
        (document('<state id="a"><transition event="x" target="a a"/></state>'), "several targets"),
        (document('<state id="a"><onentry><script/></onentry></state>'), "<script>"),
        (
            document('<state id="a"><onentry><assign location="x" expr="1"/></onentry></state>'),
            "does not declare",
        ),
        (document('<state id="a"><onentry><send event="x" delay="soon"/></onentry></state>'), "delay"),
        (document('<state id="a"><strange/></state>'), "<strange>"),
        (document('<state id="a" initial="c"><state id="b"/></state>'), "initial"),
        (document('<state id="a"><initial/><state id="b"/></state>'), "<initial>"),
        (document('<parallel id="p"><state id="a"/></parallel>'), "child 'a'"),
        (document('<state id="a"><invoke/></state>'), "<invoke>"),
        (
            document('<state id="a"><invoke src="K"><param name="n" expr="1 + 2"/></invoke></state>'),
            "'n'.* no literal",
        ),
        (document('<datamodel><data id="x" expr="new Date()"/></datamodel><state id="a"/>'), "literal"),
    ],
)
def test_what_is_not_read_is_named(text: str, message: str) -> None:
    with pytest.raises(ScxmlError, match=message):
        load_scxml(text)


def test_conditions_are_those_of_guards() -> None:
    with pytest.raises(ParseError):
        load_scxml(document('<state id="a"><transition cond="In(b)" target="a"/></state>'))
