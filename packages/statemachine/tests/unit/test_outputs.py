"""Drawings and documents: complete, well-formed, safe against hostile names, accepted by other programs."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from dataclasses import replace
from xml.etree import ElementTree as ET

import mmdr
import pytest
from node_packages import run_module, workspace
from random_machines import Shape, random_machine
from sample_machines import SAMPLES, compare, ctx, flat, fulfilment, game, number, thirty

from orca.statemachine import OrcaMachine
from orca.statemachine.engine import compile_plan, initial_snapshot, step
from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.model import (
    GuardDef,
    InvokeDef,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    RegionDef,
    StateDef,
    TimeoutDef,
    Transition,
)
from orca.statemachine.outputs._labels import duration_text, guard_text, node_ids
from orca.statemachine.outputs.dot import to_dot
from orca.statemachine.outputs.mermaid import to_mermaid
from orca.statemachine.outputs.notebook import mime_bundle
from orca.statemachine.outputs.scxml import ORCA_NAMESPACE, SCXML_NAMESPACE, to_scxml
from orca.statemachine.outputs.svg import text_width, to_svg, wrap
from orca.statemachine.outputs.xstate import to_xstate, to_xstate_module
from orca.statemachine.scxml import load_scxml

HOSTILE = "<script>alert(1)</script> \" ' ; : # %% --> [*] { } ]]> & \\ \n new"


def difference(left, right) -> Arithmetic:
    return Arithmetic("sub", left, right)


def hostile() -> MachineDef:
    return MachineDef(
        HOSTILE,
        states=(
            StateDef("a", "a", is_initial=True, description=HOSTILE, on_entry=HOSTILE),
            StateDef("b", "b", description=HOSTILE, states=(StateDef("c", "b.c", is_initial=True),)),
        ),
        transitions=(
            Transition("a", HOSTILE, "b", GuardCompare("eq", ctx("x"), ValueRef("string", HOSTILE)), HOSTILE),
            Transition("a", HOSTILE, None, None, HOSTILE),
        ),
    )


def remembering() -> MachineDef:
    """History states, ``*`` without target, any-final and custom, eventless rows, outcomes that raise."""
    regions = []
    for name in ("one", "two"):
        start = StateDef("x", f"p.{name}.x", is_initial=True)
        regions.append(RegionDef(name, f"p.{name}", (start, StateDef("y", f"p.{name}.y", is_final=True))))
    return MachineDef(
        "Remembering",
        states=(
            StateDef(
                "c",
                "c",
                is_initial=True,
                states=(
                    StateDef("a", "c.a", is_initial=True),
                    StateDef("b", "c.b", on_error=OutcomeRef("event", "oops")),
                    StateDef("h", "c.h", history="shallow"),
                    StateDef("d", "c.d", history="deep"),
                ),
                on_done=OutcomeRef("event", "go"),
            ),
            StateDef(
                "p",
                "p",
                parallel=ParallelDef(tuple(regions), "any-final"),
                on_done=OutcomeRef("state", "c.h"),
            ),
            StateDef("q", "q", parallel=ParallelDef((), "custom")),
        ),
        transitions=(
            Transition("c", "go", "p"),
            Transition("p", None, "c.d", GuardTrue()),
            Transition("c.d", None, "c.b", None, "restore"),
            Transition("*", "tick", None, None, "count"),
            Transition("c", "in", "c.b", internal=True),
        ),
    )


MACHINES = {**SAMPLES, "hostile": hostile, "remembering": remembering}


def every(names):
    return pytest.mark.parametrize("machine", [MACHINES[name]() for name in names], ids=list(names))


@every(MACHINES)
def test_mermaid_is_rendered(machine) -> None:
    assert "<svg" in mmdr.render(to_mermaid(machine)).svg()


def test_mermaid_of_random_machines_is_rendered() -> None:
    for seed in range(25):
        assert "<svg" in mmdr.render(to_mermaid(random_machine(seed, Shape(depth=1, rows=1.0)))).svg()


def test_several_machines_stand_in_one_mermaid_diagram() -> None:
    text = to_mermaid(game(), fulfilment(), names={"GameEngine": "The game"})
    assert 'state "The game" as m0 {' in text
    assert 'state "Fulfilment" as m1 {' in text
    assert "m0_s_idle --> m0_s_combat : start_game / start_combat" in text
    assert "<svg" in mmdr.render(text).svg()


def test_mermaid_says_everything() -> None:
    text = to_mermaid(fulfilment())
    assert text.count("--\n") == 2
    for part in ("after 30m", "on_done", "on_error", "invoke Refund", "entry / alert", "exit / calm",
                 "SCAN / track", "ignore PING", "GIVE_UP #91;attempts #62; 3#93;", "any --> s_failed : CANCEL",
    ):  # fmt: skip
        assert part in text


@every(MACHINES)
def test_svg_is_well_formed_and_self_contained(machine) -> None:
    text = to_svg(machine)
    root = ET.fromstring(text)
    drawn = [item.get("data-state") for item in root.iter() if item.get("data-state")]
    paths = [item.path for item in machine.walk()]
    assert [name for name in drawn if name != "*"] == paths
    assert not re.search(r"href|url\(|<script|on\w+=", text)
    assert "NaN" not in text
    assert to_svg(machine) == text
    assert ET.fromstring(to_svg(machine, direction="right")) is not None


def test_svg_lights_active_states_and_what_is_around_them() -> None:
    root = ET.fromstring(to_svg(game(), active=["combat.fighting"]))
    lit = {item.get("data-state") for item in root.iter() if item.get("class") == "state active"}
    assert lit == {"combat", "combat.fighting"}


def test_svg_keeps_labels_apart_and_inside() -> None:
    """Every label has a ground of its own; no two grounds meet, none leaves the picture."""
    for machine in (game(), fulfilment(), thirty()):
        root = ET.fromstring(to_svg(machine))
        width, height = float(root.get("width")), float(root.get("height"))
        boxes = [
            tuple(float(item.get(key)) for key in ("x", "y", "width", "height"))
            for item in root.iter()
            if item.get("class") == "halo"
        ]
        for place, (x, y, w, h) in enumerate(boxes):
            assert 0 <= x <= x + w <= width
            assert 0 <= y <= y + h <= height
            for ox, oy, ow, oh in boxes[:place]:
                assert x + w <= ox or ox + ow <= x or y + h <= oy or oy + oh <= y


def test_svg_of_five_hundred_states_is_fast() -> None:
    names = [f"state_{i}" for i in range(500)]
    rows = [Transition(names[i], f"go_{i}", names[(i * 7 + 1) % 500]) for i in range(500)]
    rows += [Transition(names[i], "next", names[i + 1]) for i in range(0, 499, 3)]
    start = time.process_time()
    text = to_svg(flat("Large", " ".join(names), *rows))
    assert time.process_time() - start < 10
    assert text.count("data-state") == 500


def test_text_is_measured_and_wrapped() -> None:
    assert text_width("WWW", 10) > text_width("iii", 10)
    assert text_width("状", 10) > text_width("i", 10)
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrap("", 4) == []


def test_dot_is_laid_out_by_graphviz() -> None:
    texts = [to_dot(make()) for make in MACHINES.values()] + [
        to_dot(random_machine(seed)) for seed in range(20)
    ]
    script = """
        import { instance } from "@viz-js/viz";
        import { readFileSync } from "node:fs";
        const viz = await instance();
        const texts = JSON.parse(readFileSync(new URL("./texts.json", import.meta.url)));
        const found = texts.map((text) => {
          const result = viz.render(text, { format: "json" });
          return [result.status, result.errors.map((e) => e.message), JSON.parse(result.output).objects.length];
        });
        console.log(JSON.stringify(found));
    """
    with workspace() as folder:
        (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
        results = json.loads(run_module(folder, "dot.mjs", script))
    for status, errors, count in results:
        assert status == "success", errors
        assert not [error for error in errors if "syntax" in error or "not found" in error]
        assert count > 1


SC = f"{{{SCXML_NAMESPACE}}}"
ORCA = f"{{{ORCA_NAMESPACE}}}"


@every(MACHINES)
def test_scxml_is_well_formed_and_refers_to_what_is_there(machine) -> None:
    root = ET.fromstring(to_scxml(machine))
    states = {
        item.get("id")
        for item in root.iter()
        if item.tag in {SC + "state", SC + "final", SC + "parallel", SC + "history"}
    }
    assert {item.path.replace(".", "-") for item in machine.walk()} <= states
    for item in root.iter():
        for key in ("target", "initial"):
            if item.get(key):
                assert item.get(key) in states
    actions = {item.get(ORCA + "action") for item in root.iter(SC + "log")}
    assert {row.action for row in machine.transitions if row.action} <= actions


def test_scxml_says_everything() -> None:
    root = ET.fromstring(to_scxml(fulfilment()))
    processing = next(item for item in root.iter(SC + "parallel") if item.get("id") == "processing")
    assert processing.find(f"{SC}onentry/{SC}send").get("delay") == "1800000ms"
    assert processing.find(f"{SC}onexit/{SC}cancel").get("sendid") == "timeout.processing"
    events = {item.get("event"): item.get("target") for item in processing.findall(SC + "transition")}
    assert events["timeout.processing"] == "failed"
    assert events["done.state.processing"] == "complete"
    assert events["error"] == "failed"
    failed = next(item for item in root.iter(SC + "state") if item.get("id") == "failed")
    assert failed.find(SC + "invoke").get("src") == "Refund.scxml"
    assert [item.get("name") for item in failed.iter(SC + "param")] == ["order", "full"]
    guard = next(item for item in root.iter(SC + "transition") if item.get("event") == "GIVE_UP")
    assert guard.get(ORCA + "cond") == "attempts > 3"
    assert guard.get("cond").startswith("orca.holds(orca.gt(")
    # A transition of all states sits on a state around all of them, whose name nothing else has.
    assert root.get("initial") is None
    clash = replace(fulfilment(), states=(*fulfilment().states, StateDef("any", "any")))
    assert 'id="any_"' in to_scxml(clash)


def test_scxml_conditions_are_javascript_with_our_logic() -> None:
    machine = flat("M", "a b", Transition("a", "e", "b", GuardNot(GuardCompare("lt", ctx("x"), number(1)))))
    root = ET.fromstring(to_scxml(machine))
    script = root.find(SC + "script").text
    cond = next(root.iter(SC + "transition")).get("cond")
    with workspace() as folder:
        values = "[null, 0, 2, 'a', true]"
        module = f"""{script}
            const _event = {{ data: {{}} }};
            const found = {values}.map((x) => {cond.replace("{}", "{ x }")});
            console.log(JSON.stringify(found));"""
        assert json.loads(run_module(folder, "cond.mjs", module)) == [False, False, True, False, False]


@pytest.mark.parametrize("name", ["order", "game", "thirty"])
def test_scxml_reads_back_as_the_same_machine(name) -> None:
    """Read by our own importer, the document takes the same events to the same states."""
    ours, back = compile_plan(SAMPLES[name]()), load_scxml(to_scxml(SAMPLES[name]())).plan()
    one = step(ours, initial_snapshot(ours)).snapshot
    other = step(back, initial_snapshot(back)).snapshot
    events = sorted({row.event for row in SAMPLES[name]().transitions if row.event})
    rng = random.Random(name)
    for _ in range(60):
        leaves = [[plan.nodes[s].name for s in at.configuration] for plan, at in ((ours, one), (back, other))]
        assert [word.rpartition("-")[2].rpartition("_")[2] for word in leaves[0]] == [
            word.rpartition("-")[2].rpartition("_")[2] for word in leaves[1]
        ]
        event = rng.choice(events)
        one, other = step(ours, one, event).snapshot, step(back, other, event).snapshot


def test_xstate_config_says_everything() -> None:
    config = to_xstate(fulfilment())
    states = config["states"]
    assert states["processing"]["type"] == "parallel"
    assert states["processing"]["after"] == {"1800000": {"target": "#Fulfilment.failed", "reenter": True}}
    assert states["processing"]["meta"] == {"on_error": {"state": "failed"}}
    assert states["processing"]["onDone"]["target"] == "#Fulfilment.complete"
    assert states["cart"]["meta"] == {"ignore": ["PING"]}
    assert states["failed"]["invoke"]["src"] == "Refund"
    assert states["failed"]["invoke"]["input"] == {"order": {"path": ["ctx", "attempts"]}, "full": True}
    assert states["failed"]["invoke"]["onError"]["actions"][0]["params"] == {"event": "CANCEL"}
    assert states["failed"]["entry"] == ["alert"]
    assert states["failed"]["exit"] == ["calm"]
    assert config["on"]["CANCEL"] == [{"target": "#Fulfilment.failed", "reenter": False}]
    first, second, _ = remembering().states
    own = replace(second, parallel=replace(second.parallel, sync="custom"))
    custom = replace(remembering(), states=(first, own))
    ends = to_xstate(remembering())["states"]["p"]["on"]
    assert ends["xstate.done.state.Remembering.p.one"] == [{"target": "#Remembering.c.h", "reenter": True}]
    assert '"custom.p": () => false' in to_xstate_module(custom)
    history = to_xstate(remembering())["states"]["c"]["states"]
    assert history["d"] == {
        "id": "Remembering.c.d",
        "type": "history",
        "history": "deep",
        "target": "#Remembering.c.b",
    }
    assert "target" not in history["h"]


def test_an_invoked_child_without_input_and_outcome_is_only_named() -> None:
    states = (StateDef("a", "a", is_initial=True, invoke=InvokeDef("C")),)
    invoke = to_xstate(MachineDef("M", states=states))["states"]["a"]["invoke"]
    assert invoke == {"src": "C", "id": "M.a.invoke"}


def test_named_guards_may_refer_to_each_other_and_take_any_name() -> None:
    guards = (GuardDef("inline_0", compare("x", "gt", 1)), GuardDef("both", GuardNot(GuardRef("inline_0"))))
    rows = (Transition("a", "e", "b", GuardRef("both")), Transition("a", "f", "b", compare("x", "lt", 5)))
    machine = flat("M", "a b", *rows, guard_defs=guards)
    assert to_xstate(machine)["states"]["a"]["on"]["f"][0]["guard"] == "inline_1"
    assert 'orca.not(orca.truth(guards["inline_0"](context, event)))' in to_xstate_module(machine)


def test_inline_guards_get_names_that_nobody_has() -> None:
    machine = flat(
        "M",
        "a b",
        Transition("a", "e", "b", compare("x", "gt", 1)),
        Transition("a", "f", "b", compare("x", "gt", 1)),
        Transition("a", "g", "b", compare("x", "gt", 2)),
        guard_defs=(),
    )
    config = to_xstate(machine)["states"]["a"]["on"]
    assert [config[event][0]["guard"] for event in "efg"] == ["inline_0", "inline_0", "inline_1"]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (GuardTrue(), "else"),
        (GuardFalse(), "false"),
        (GuardOr((GuardAnd((GuardRef("a"), GuardRef("b"))), GuardRef("c"))), "a and b or c"),
        (GuardAnd((GuardOr((GuardRef("a"), GuardRef("b"))), GuardRef("c"))), "(a or b) and c"),
        (GuardNot(GuardCompare("eq", ctx("x"), ValueRef("null", None))), "not x == null"),
        (GuardCompare("ge", difference(ctx("a"), difference(ctx("b"), number(1))), number(2)), "a - (b - 1) >= 2"),
        (
            GuardCompare("lt", Arithmetic("mul", difference(ctx("a"), number(1)), number(2)), Negate(ctx("b"))),
            "(a - 1) * 2 < -b",
        ),
        (GuardIn(ctx("x"), (ValueRef("string", 'q"'), ValueRef("boolean", True), number(1))), 'x in ["q\\"", true, 1]'),
        (GuardNullcheck(VariableRef(("event", "a", "b")), is_null=True), "event.a.b is null"),
        (GuardNullcheck(ctx("a"), is_null=False), "a is not null"),
        (ValueRef("boolean", False), "false"),
        (VariableRef(("ctx",)), "ctx"),
    ],
)  # fmt: skip
def test_guards_are_written_as_a_person_would(node, text) -> None:
    assert guard_text(node) == text


def test_durations_have_the_largest_unit() -> None:
    assert [duration_text(ms) for ms in (0, 1, 61_000, 60_000, 86_400_000)] == [
        "0ms",
        "1ms",
        "61s",
        "1m",
        "1d",
    ]


def test_node_ids_never_meet() -> None:
    states = (StateDef("a_b", "a_b"), StateDef("a", "a", states=(StateDef("b", "a.b"),)))
    assert node_ids(MachineDef("M", states=states)) == {"a_b": "s_a_b", "a": "s_a", "a.b": "s_a_b_2"}


def test_a_definition_shows_itself_in_a_notebook() -> None:
    assert game()._repr_mimebundle_() == mime_bundle(game())


def test_a_running_machine_shows_where_it_is() -> None:
    async def show() -> tuple[dict[str, str], dict[str, str]]:
        machine = OrcaMachine(game())
        before = machine._repr_mimebundle_()
        await machine.start()
        await machine.send("start_game")
        shown = machine._repr_mimebundle_()
        await machine.stop()
        return before, shown

    before, shown = asyncio.run(show())
    assert 'class="state active"' not in before["image/svg+xml"]
    assert 'class="state active" data-state="combat.fighting"' in shown["image/svg+xml"]


def test_a_notebook_gets_a_drawing_and_something_to_fall_back_on() -> None:
    bundle = mime_bundle(game(), active=["idle"])
    assert set(bundle) == {"image/svg+xml", "text/vnd.mermaid", "text/plain"}
    assert bundle["text/plain"] == "<machine GameEngine: 5 states>"


def test_every_kind_of_state_is_drawn_in_dot() -> None:
    text = to_dot(remembering())
    assert 'shape=circle, label="H*"' in text
    assert 'any [shape=plaintext, label="any state\\ntick / count"]' in text
    assert "lhead=cluster_s_p" in text
    final = to_dot(flat("F", "a b.", Transition("a", "e", "b")))
    assert "peripheries=2" in final
    timed = replace(flat("T", "a b").states[0], timeout=TimeoutDef(10, "b"), invoke=InvokeDef("C"))
    assert "style=dashed" in to_dot(MachineDef("T", states=(timed, StateDef("b", "b"))))
