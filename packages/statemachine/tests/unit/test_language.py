"""The language in detail: what other parsers got wrong, in both notations."""

from __future__ import annotations

import pytest

from orca.statemachine import ParseError, parse_orca, parse_orca_auto, parse_orca_md, parse_orca_md_multi
from orca.statemachine.expr import GuardNot, GuardRef, GuardTrue
from orca.statemachine.guards import compile_guard
from orca.statemachine.loading import load, notation_of, parse_document
from orca.statemachine.model import MachineDef, RegionDef, StateDef
from orca.statemachine.printer import print_brace


def brace(body: str) -> MachineDef:
    return parse_orca(f"machine M\n{body}")


def guard_of(expression: str, fields: str = "a: any b: any c: any s: string x: decimal") -> MachineDef:
    return brace(f"context {{ {fields} }} state s0 [initial] transitions {{ s0 + E [{expression}] -> s0 }}")


def holds(expression: str, payload: object = None, **context: object) -> bool:
    guard = guard_of(expression).transitions[0].guard
    assert guard is not None
    return compile_guard(guard)(context, payload)


def codes(text: str) -> list[tuple[str, int, int]]:
    return [
        (item.code, item.span.line if item.span else 0, item.span.column if item.span else 0)
        for item in load(text).diagnostics
    ]


# ---- brace notation ----


def test_both_ways_to_write_two_annotations() -> None:
    for marks in ("[initial] [final]", "[initial, final]"):
        (state,) = brace(f'state s {marks} "both"').states
        assert (state.is_initial, state.is_final, state.description) == (True, True, "both")


def test_keywords_are_names_where_names_stand() -> None:
    machine = brace("""
    context { state: int = 1  or: bool = true  in: int = 2 }
    events { timeout on state }
    state on [initial] { timeout: 5s -> state }
    state state
    state transitions
    transitions {
        on + timeout -> state
        state + on -> transitions
        transitions + state [ctx.or and ctx.in > 1] -> on
    }
    guards { live: true  reachable: ctx.state == 1  on: false  state: true }
    """)
    assert [state.name for state in machine.states] == ["on", "state", "transitions"]
    assert [row.event for row in machine.transitions] == ["timeout", "on", "state"]
    assert list(machine.guards) == ["live", "reachable", "on", "state"]


def test_sections_in_any_order_merge() -> None:
    machine = brace("""
    transitions { a + GO -> b }
    events { GO }
    state b
    state a [initial]
    transitions { b + BACK -> a }
    events { BACK }
    version: 2.1.0
    """)
    assert machine.version == "2.1.0"
    assert machine.events == ("GO", "BACK")
    assert [row.event for row in machine.transitions] == ["GO", "BACK"]


def test_comments_and_strings_that_look_like_comments() -> None:
    machine = brace('# one\nstate a [initial] "see # 5 // 6" // two\n# state b\n')
    assert machine.states[0].description == "see # 5 // 6"
    assert len(machine.states) == 1


def test_several_machines_in_one_text() -> None:
    document = parse_document("machine A\nstate a [initial]\nmachine B\nstate b [initial]\n")
    assert [machine.name for machine in document.machines] == ["A", "B"]
    assert document.machine("B") is document.machines[1]
    assert document.machine("C") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5", -5),
        ("[]", []),
        ("null", None),
        ("1e3", 1000.0),
        ("true", True),
        ("{}", {}),
        ('["a", -1.5, [true]]', ["a", -1.5, [True]]),
        ('{ k: "v", "n m": 2 }', {"k": "v", "n m": 2}),
        (r'"tab\t\"quote\" \u00e9"', 'tab\t"quote" é'),
        ("'single'", "single"),
    ],
)
def test_defaults_are_values(text: str, value: object) -> None:
    for form in (f"x: any? = {text}", f"x = {text}"):
        machine = brace(f"context {{ {form} }} state a [initial]")
        assert machine.context == {"x": value}
    markdown = parse_orca_md(
        f"# machine M\n## context\n| Field | Type | Default |\n|--|--|--|\n| x | | {text} |\n## state a [initial]\n"
    )
    assert markdown.context == {"x": value}


@pytest.mark.parametrize(
    ("kind", "default", "fits"),
    [
        ("int", "1e3", True),
        ("int", "1.5", False),
        ("int", "true", False),
        ("int", "null", False),
        ("int?", "null", True),
        ("decimal", "3", True),
        ("float", '"3"', False),
        ("bool", "1", False),
        ("string", "5", False),
        ("string[]", '["a"]', True),
        ("string[]", "[1]", False),
        ("list<int>", "[1]", True),
        ("map<string, int>", "{ a: 1 }", True),
        ("map<string, int>", '{ a: "b" }', False),
        ("dict", "{}", True),
        ("dict", "[]", False),
        ("enum<red, green>", '"red"', True),
        ("enum<red, green>", "red", True),
        ("enum<red, green>", '"blue"', False),
        ("int", "red", False),
        ("Order", "null", True),
        ("Order", '"x"', True),
        ("int", "[]", False),
    ],
)
def test_defaults_fit_their_types(kind: str, default: str, fits: bool) -> None:
    text = f"machine M\ncontext {{ x: {kind} = {default} }}\nstate a [initial]\n"
    expected = [] if fits else [("BAD_DEFAULT", 2, 15 + len(kind) + 2)]
    assert [(code, line, column) for code, line, column in codes(text)] == expected or (
        not fits and codes(text)[0][:2] == ("BAD_DEFAULT", 2)
    )


@pytest.mark.parametrize(
    ("text", "delay_ms"),
    [
        ("500ms", 500),
        ("1.5s", 1500),
        ("2m", 120_000),
        ("0.5h", 1_800_000),
        ("1d", 86_400_000),
        ("30 s", 30_000),
    ],
)
def test_durations(text: str, delay_ms: int) -> None:
    timer = brace(f"state a [initial] {{ timeout: {text} -> b }} state b").states[0].timeout
    assert timer is not None
    assert (timer.delay_ms, timer.target) == (delay_ms, "b")


@pytest.mark.parametrize("text", ["5sec", "-5s", "1.0001ms", "..s", "5S"])
def test_durations_that_cannot_be_read(text: str) -> None:
    source = f"machine M\nstate a [initial] {{ timeout: {text} -> b }}\nstate b"
    assert codes(source) == [("BAD_DURATION", 2, 30)]


def test_a_duration_without_unit_is_seconds_and_a_warning() -> None:
    result = load("machine M\nstate a [initial] { timeout: 30 -> b }\nstate b")
    assert result.ok
    assert [item.code for item in result.diagnostics] == ["BARE_DURATION"]
    timer = result.document.machines[0].states[0].timeout
    assert timer is not None
    assert timer.delay_ms == 30_000


def test_transitions_in_all_their_forms() -> None:
    machine = brace("""
    state a [initial] {
        on GO [else] -> b : act
        state inner [initial] on UP -> a
        contains { state second transitions { second + DOWN -> inner } }
    }
    state b
    transitions {
        a -> b
        b [true] -> _ : act
        * + RESET -> a,
        a.inner + X -> a.second
    }
    """)
    assert [(row.source, row.event, row.target, row.action) for row in machine.transitions] == [
        ("a", "GO", "b", "act"),
        ("a.inner", "UP", "a", None),
        ("a.second", "DOWN", "a.inner", None),
        ("a", None, "b", None),
        ("b", None, None, "act"),
        ("*", "RESET", "a", None),
        ("a.inner", "X", "a.second", None),
    ]
    assert machine.transitions[0].guard == GuardTrue()


def test_nested_states_in_regions_keep_what_comes_after_them() -> None:
    machine = brace("""
    state work [initial] [parallel] {
        parallel [sync: any_final] {
            region one {
                state a [initial] { state deep [initial] { state deeper [initial] } }
                state b [final]
            }
            region two { state c [initial] }
        }
    }
    state after
    """)
    assert [node.path for node in machine.walk()] == [
        "work",
        "work.one",
        "work.one.a",
        "work.one.a.deep",
        "work.one.a.deep.deeper",
        "work.one.b",
        "work.two",
        "work.two.c",
        "after",
    ]
    parallel = machine.states[0].parallel
    assert parallel is not None
    assert parallel.sync == "any-final"
    region = machine.find("work.two")
    assert isinstance(region, RegionDef)
    state = machine.find("work.one.b")
    assert isinstance(state, StateDef)
    assert (state.parent, state.is_compound, machine.states[1].parent) == ("work.one", False, None)
    assert machine.find("work.three.c") is None


def test_references_may_leave_out_regions_and_outer_states() -> None:
    machine = brace("""
    state work [initial, parallel] {
        parallel { region one { state a [initial] { state deep [initial] } } region two { state c [initial] } }
    }
    transitions { work.a + E -> a.deep  c + E -> work.one.a }
    """)
    assert [(row.source, row.target) for row in machine.transitions] == [
        ("work.one.a", "work.one.a.deep"),
        ("work.two.c", "work.one.a"),
    ]


def test_an_outer_state_may_have_the_name_of_an_inner_one() -> None:
    machine = brace("state a [initial] { state a [initial] } transitions { a + E -> a.a }")
    assert (machine.transitions[0].source, machine.transitions[0].target) == ("a", "a.a")


def test_invoke() -> None:
    machine = brace("""
    context { user: string = "u"  total: int = 0 }
    state pay [initial] {
        invoke: Payment
            input: { who: ctx.user, amount: 5, note: null } shots: 100 returns: { total: sum } failures: [refused]
        on_done: -> done
        on_error: failed
        returns: { user: bits[0] }
    }
    state done [final]
    state failed [final]
    """)
    invoke = machine.states[0].invoke
    assert invoke is not None
    assert invoke.machine == "Payment"
    assert [name for name, _ in invoke.input] == ["who", "amount", "note"]
    assert (invoke.shots, invoke.failures) == (100, ("refused",))
    assert invoke.returns == (("total", "sum"), ("user", "bits[0]"))
    outcome = machine.states[0].on_done
    assert outcome is not None
    assert (outcome.kind, outcome.name) == ("state", "done")


def test_an_outcome_may_be_an_event() -> None:
    machine = brace("""
    state work [initial] { on_done: FINISHED state step [initial, final] }
    state end
    transitions { work + FINISHED -> end }
    """)
    outcome = machine.states[0].on_done
    assert outcome is not None
    assert (outcome.kind, outcome.name) == ("event", "FINISHED")


def test_history_states() -> None:
    machine = brace("""
    state work [initial] { state a [initial] state h [history] state d [history: deep] }
    transitions { h -> a }
    """)
    assert [state.history for state in machine.states[0].states] == [None, "shallow", "deep"]


# ---- guards ----


@pytest.mark.parametrize(
    ("expression", "context", "expected"),
    [
        ("a or b and not c", {"a": False, "b": True, "c": False}, True),
        ("(a or b) and c", {"a": True, "b": False, "c": False}, False),
        ("not a == b", {"a": 1, "b": 2}, True),
        ("!a && b || c", {"a": True, "b": True, "c": True}, True),
        ("!!a", {"a": 1}, True),
        ("x + 2 * 3 == 7", {"x": 1}, True),
        ("(x + 2) * 3 == 9", {"x": 1}, True),
        ("10 - 3 - 2 == 5", {}, True),
        ("-x < 0", {"x": 1}, True),
        ("x % 2 == 1", {"x": 5}, True),
        ("x / 4 == 0.5", {"x": 2}, True),
        ("a is null", {}, True),
        ("a is not null and a > 1", {"a": 2}, True),
        ('s in ["gold", "silver"]', {"s": "gold"}, True),
        ("x in [1, -2, null]", {"x": -2}, True),
        ('s == "or"', {"s": "or"}, True),
        ("context.a and ctx.b", {"a": 1, "b": 1}, True),
        ("ctx.a.deep.value == 3", {"a": {"deep": {"value": 3}}}, True),
        ("(a and b) == true", {"a": 1, "b": 1}, True),
    ],
)
def test_expressions(expression: str, context: dict[str, object], expected: bool) -> None:
    assert holds(expression, **context) is expected


def test_the_payload_of_the_event() -> None:
    assert holds("event.amount > 5 and payload.ok", {"amount": 6, "ok": True})
    assert not holds("event.amount > 5", None)


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("a b", 3),
        ("a orb", 3),
        ("a or", 5),
        ("(a", 3),
        ("a)", 2),
        ("a @ b", 3),
        ("a < b < c", 7),
        ("a == ", 6),
        ("a..b", 3),
        ("1abc", 1),
        ("'open", 1),
        ("a in b", 3),
        ("a is b", 6),
        ("a ? b : c", 3),
        ("f(a)", 2),
        ("a[0]", 2),
        ("lambda: 1", 7),
    ],
)
def test_a_guard_is_never_silently_shorter(expression: str, column: int) -> None:
    start = "  s0 + E ["
    text = (
        "machine M\ncontext { a: any b: any c: any f: any lambda: any }\nstate s0 [initial]\n"
        f"transitions {{\n{start}{expression}] -> s0\n}}\n"
    )
    found = [item for item in load(text).diagnostics if item.severity == "error"]
    assert found, expression
    first = found[0].span
    assert first is not None
    assert first.line == 5
    assert abs(first.column - len(start) - column) <= 1
    markdown = (
        "# machine M\n## context\n| Field |\n|--|\n| a |\n| b |\n| c |\n| f |\n## state s0 [initial]\n"
        f"## guards\n| Name | Expression |\n|--|--|\n| g | {expression} |\n"
    )
    assert any(item.severity == "error" for item in load(markdown).diagnostics)


def test_named_guards_and_their_negation() -> None:
    machine = brace("""
    context { x: int = 0 }
    guards { big: x > 5  both: big and x < 9 }
    state a [initial]
    transitions { a + E [big] -> a  a + F [!big] -> a  a + G [not both] -> a }
    """)
    assert [row.guard for row in machine.transitions] == [
        GuardRef("big"),
        GuardNot(GuardRef("big")),
        GuardNot(GuardRef("both")),
    ]


@pytest.mark.parametrize("name", ["__class__", "__import__", "a.__class__.__bases__", "os.system"])
def test_names_are_fields_and_never_attributes(name: str) -> None:
    text = (
        f"machine M\ncontext {{ a: int = 1 }}\nstate s0 [initial]\ntransitions {{ s0 + E [{name}] -> s0 }}\n"
    )
    assert any(item.severity == "error" for item in load(text).diagnostics)


def test_a_scalar_has_no_fields() -> None:
    text = "machine M\ncontext { a: int = 1 }\nstate s [initial]\ntransitions { s + E [ctx.a.b > 1] -> s }"
    assert codes(text) == [("UNKNOWN_FIELD", 4, 22)]


# ---- Markdown notation ----

MARKDOWN = """<!-- # machine Hidden -->
# Notes

# machine Order

Some prose with a | bar and a list:

1. one

- version: 1.2.0

## Context

| Default | FIELD | type |
|---|:-:|--:|
| 5 | total | int |
| hello world | note | string |
| a\\|b | text | string |

## events

* submit, pay

* `cancel`

```
## state not_a_state
```

## state cart [initial] [parallel, sync: any-final]

> Collecting items

- on_entry: -> greet

* ignore: *

### region one

#### state a [initial]
##### state deep [initial]
#### state b [final]

### region two
#### state c [initial]
- timeout: 500ms
  -> done

## state done [final] "The *end*"

## transitions

| Source | Event  | Guard                        | Target | Action |
|--------|--------|------------------------------|--------|--------|
| cart   | submit | `total > 3 || note == "a|b"` | done   |        |
| cart   | pay    | total > 3 \\|\\| !big        | _      | greet  |
| *      | cancel | else                         | done   | -      |
| a      |        | [big]                        | b      |        |

## guards
| Name | Expression |
|---|---|
| big | ``total >= 100`` |
---
# machine Second
## state s\\_1 [initial]
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_markdown(end: str) -> None:
    document = parse_document(MARKDOWN.replace("\n", end))
    machine, second = document.machines
    assert (machine.name, machine.version, second.name) == ("Order", "1.2.0", "Second")
    assert machine.context == {"total": 5, "note": "hello world", "text": "a|b"}
    assert machine.events == ("submit", "pay", "cancel")
    assert [node.path for node in machine.walk()] == [
        *(
            "cart",
            "cart.one",
            "cart.one.a",
            "cart.one.a.deep",
            "cart.one.b",
            "cart.two",
            "cart.two.c",
            "done",
        ),
    ]
    cart = machine.states[0]
    assert (cart.description, cart.on_entry, cart.ignore) == ("Collecting items", "greet", ("*",))
    assert cart.parallel is not None
    assert cart.parallel.sync == "any-final"
    timer = cart.parallel.regions[1].states[0].timeout
    assert timer is not None
    assert (timer.delay_ms, timer.target) == (500, "done")
    assert machine.states[1].description == "The *end*"
    assert [(row.source, row.event, row.target, row.action) for row in machine.transitions] == [
        ("cart", "submit", "done", None),
        ("cart", "pay", None, "greet"),
        ("*", "cancel", "done", None),
        ("cart.one.a", None, "cart.one.b", None),
    ]
    assert machine.transitions[2].guard == GuardTrue()
    assert machine.transitions[3].guard == GuardRef("big")
    assert second.states[0].name == "s_1"


def test_columns_of_findings_in_tables_with_escapes() -> None:
    text = MARKDOWN.replace("\\|\\| !big", "\\|\\| !bog")
    (found,) = load(text).diagnostics
    assert found.span is not None
    assert text.split("\n")[found.span.line - 1][found.span.column - 1 :].startswith("bog")
    assert found.code == "UNKNOWN_FIELD"


def test_states_below_the_sixth_level_are_given_by_their_path() -> None:
    machine = parse_orca_md(
        "# machine M\n## state a [initial]\n### state b [initial]\n#### state c [initial]\n##### state d [initial]\n"
        "###### state e [initial]\n###### state a.b.c.d.e.f [initial]\n"
    )
    assert [node.path for node in machine.walk()][-1] == "a.b.c.d.e.f"


def test_the_notation_is_told_from_the_content() -> None:
    assert notation_of("# machine A\nmachine B") == "markdown"
    assert notation_of("machine A\n# machine B") == "brace"
    assert notation_of("") == "brace"


def test_entry_points() -> None:
    two = "# machine A\n## state a [initial]\n# machine B\n## state b [initial]\n"
    assert [machine.name for machine in parse_orca_md_multi(two)] == ["A", "B"]
    assert parse_orca_auto(two, "x.orca.md").name == "A"
    assert parse_orca_auto("machine C\nstate c [initial]", "x.orca").name == "C"
    assert parse_orca_auto("machine C\nstate c [initial]").name == "C"
    assert parse_orca("\ufeffmachine C\nstate c [initial]").name == "C"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "prose",
        "# Title\n\nprose",
        'decision_table T\nconditions { a: bool }\noutputs { b: int }\nrules { "-" -> "1" }',
    ],
)
def test_a_text_without_a_machine(text: str) -> None:
    with pytest.raises(ParseError):
        parse_orca(text)


# ---- findings ----


def test_all_problems_of_a_brace_text_in_one_run() -> None:
    text = """machine M
context {
    total: int = "x"
    ? : int
    note: string
}
events { GO, 5, STOP }
state a [initial] {
    on_entri: act
    timeout: 5x -> b
    state inner [initial] {
        ignore: NOPE
    }
}
state b [bogus]
state a
transitions {
    a + GO -> c
    a + + STOP -> b
    b + GO [totl > 1] -> a
    a + STOP [total >] -> b
}
"""
    assert [(code, line) for code, line, _ in codes(text)] == [
        ("BAD_DEFAULT", 3),
        ("SYNTAX", 4),
        ("SYNTAX", 7),
        ("SYNTAX", 9),
        ("BAD_DURATION", 10),
        ("UNKNOWN_EVENT", 12),
        ("SYNTAX", 15),
        ("DUPLICATE_STATE", 16),
        ("UNKNOWN_STATE", 18),
        ("SYNTAX", 19),
        ("UNKNOWN_FIELD", 20),
        ("SYNTAX", 21),
    ]


def test_all_problems_of_a_markdown_text_in_one_run() -> None:
    text = """# machine M
## context
| Field | Type | Default |
|---|---|---|
| total | int | x |
| 9 | int | 1 |
## events
- GO, 5
## state a [initial]
- on_entri: act
- timeout: 5x -> b
## state b [bogus]
## state a
## transitions
| Source | Event | Guard | Target |
|---|---|---|---|
| a | GO | | c |
| | GO | | b |
| b | GO | totl > 1 | a |
| a | GO | total > | b |
| a | GO | total > 1 | b | act | more |
"""
    assert [(code, line) for code, line, _ in codes(text)] == [
        ("BAD_DEFAULT", 5),
        ("SYNTAX", 6),
        ("SYNTAX", 8),
        ("UNKNOWN_BULLET", 10),
        ("BAD_DURATION", 11),
        ("SYNTAX", 12),
        ("DUPLICATE_STATE", 13),
        ("UNKNOWN_STATE", 17),
        ("SYNTAX", 18),
        ("UNKNOWN_FIELD", 19),
        ("SYNTAX", 20),
        ("SYNTAX", 21),
    ]


def test_a_missing_brace_does_not_swallow_the_rest() -> None:
    text = (
        'machine M\nstate a [initial] {\n    description: "x"\n\ntransitions {\n    a + GO -> b\n}\nstate b\n'
    )
    found = load(text)
    assert [(item.code, item.span.line if item.span else 0) for item in found.diagnostics] == [("SYNTAX", 2)]
    assert [state.name for state in found.document.machines[0].states] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "machine M\n}\nstate a [initial]\n",
        "machine\nstate a [initial]\n",
        "state a [initial]\n",
        "machine M extra\nstate a [initial]\n",
        "machine M\nstate [initial]\n",
        "machine M\nstate a [initial] { parallel { state b } }\n",
        "machine M\nstate a [initial, parallel] { parallel { region r { state [ } } }\n",
        "machine M\nstate a [initial] {\n contains { stat b }\n}\n",
        "decision_table\nconditions { a: bool }",
        'machine M\nstate a [initial] "open\n',
        "machine M\nstate a [initial] { on_entry: a on_exit }\n",
        "machine M\nversion: latest\nstate a [initial]\n",
        "machine M\nstate a [initial]\nproperties { invariant: a > in a }\n",
        "machine M\nstate a [initial]\nproperties { responds: a from a within 1.5 }\n",
        "# machine 5M\n## state a [initial]\n",
        "# machine M\n## state a [initial]\n### region r\n#### state b [initial]\n",
        "# machine M\n## state a [initial]\n###### state x.y [initial]\n",
        "# machine M\n## state 5 [initial]\n",
    ],
)
def test_broken_texts_are_findings_with_places(text: str) -> None:
    result = load(text)
    assert not result.ok
    with pytest.raises(ParseError) as caught:
        parse_document(text)
    assert caught.value.diagnostics == result.diagnostics
    assert all(item.span is not None for item in result.diagnostics)


def test_suggestions_carry_their_edit() -> None:
    (found,) = load("machine M\nstate idle [initial]\ntransitions { idle + GO -> idlee }").diagnostics
    assert found.suggestion == "did you mean `idle`?"
    assert (found.edits[0].start, found.edits[0].end, found.edits[0].text) == (58, 63, "idle")


def test_the_message_of_the_error_shows_every_finding() -> None:
    with pytest.raises(ParseError, match=r"UNKNOWN_STATE.*\n.*--> lamp.orca:3:") as caught:
        parse_orca("machine M\nstate a [initial]\ntransitions { a + GO -> b }", "lamp.orca")
    assert "orca machine explain UNKNOWN_STATE" in str(caught.value)
    many = (
        "machine M\nstate a [initial]\ntransitions {" + "".join(f"a + E -> b{n}\n" for n in range(30)) + "}"
    )
    with pytest.raises(ParseError, match="and 10 more"):
        parse_orca(many)


def test_print_of_effects_with_one_side() -> None:
    text = "machine M\nstate a [initial]\neffects { Log: string -> _  Note: _ -> { id: int }? }"
    machine = parse_orca(text)
    assert parse_orca(print_brace(machine)) == machine
    assert [str(item.output) for item in machine.effects] == ["None", "{ id: int }?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("decision_table T\nstate a [initial]\ntransitions { ? }", "is not a section of a decision table"),
        ("machine M\nstate a [initial]\nrules { ? }", "is not a section of a machine"),
    ],
)
def test_sections_of_the_other_kind(text: str, message: str) -> None:
    assert any(message in item.message for item in load(text).diagnostics)


def test_a_table_of_actions_without_types_in_a_decision_table() -> None:
    text = "# decision_table T\n## actions\n| Name |\n|--|\n| a |\n"
    assert sorted(item.code for item in load(text).diagnostics) == ["DT_EMPTY_RULES", "DT_NO_CONDITIONS"]
