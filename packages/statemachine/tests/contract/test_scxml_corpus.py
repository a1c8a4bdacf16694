"""SCXML's semantics, case by case, each with the clause it comes from, on four engines.

Every case runs on the algorithm as written and on the compiled engine, and on both with the snapshot turned to
JSON and back, into a fresh engine, after every event.

Clauses are those of State Chart XML, W3C Recommendation 1 September 2015; "D:" is a procedure of Appendix D.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from charts import HANDLERS, chart, trace

from orca.statemachine.engine import (
    Compiled,
    LivelockError,
    Reference,
    Signal,
    Snapshot,
    StartTimer,
    compile_plan,
    initial_snapshot,
    step,
    timeout_name,
)


@dataclass
class Case:
    """A chart, and for each event what ran and where it led: ``"actions => leaves"``."""

    name: str
    clause: str
    states: dict
    rows: list[str]
    steps: list[tuple[str | Signal | None, str]]
    options: dict = field(default_factory=dict)


AB = {"a*": {}, "b": {}}
NEST = {"a*": {}, "p": {"q*": {"r*": {}, "s": {}}, "t": {}}}
PAR = {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}, "out": {}}
PARF = {"p|*": {"r1": {"a*": {}, "b$": {}}, "r2": {"c*": {}, "d$": {}}}, "out": {}}
HIST = {"p*": {"a*": {}, "b": {"b1*": {}, "b2": {}}, "h~": {}}, "out": {}}
DEEP = {"p*": {"a*": {}, "b": {"b1*": {}, "b2": {}}, "h~~": {}}, "out": {}}


def timeout(name: str) -> Signal:
    return Signal(timeout_name(name))


CASES = [
    # -- entry and exit order
    Case("initial state is entered", "D: interpret, enterStates", AB, [], [(None, "+a => a")]),
    Case(
        "initial states at every depth",
        "3.3.2 default initial",
        {"p*": {"q*": {"r*": {}}}},
        [],
        [(None, "+p +q +r => p.q.r")],
    ),
    Case(
        "first child when none is marked",
        "3.3 default: first child in document order",
        {"p*": {"x": {}, "y": {}}},
        [],
        [(None, "+p +x => p.x")],
    ),
    Case(
        "exit, transition, entry",
        "3.13 order of executable content",
        AB,
        ["a GO -> b / act"],
        [(None, "+a => a"), ("GO", "-a act +b => b")],
    ),
    Case(
        "parents outermost first on entry",
        "D: enterStates, entryOrder",
        NEST,
        ["a GO -> p"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r")],
    ),
    Case(
        "children innermost first on exit",
        "D: exitStates, exitOrder",
        NEST,
        ["a GO -> p", "p BACK -> a / act"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("BACK", "-r -q -p act +a => a")],
    ),
    Case(
        "a deep target enters its parents",
        "D: addAncestorStatesToEnter",
        NEST,
        ["a GO -> s"],
        [(None, "+a => a"), ("GO", "-a +p +q +s => p.q.s")],
    ),
    Case(
        "only what is below the common ancestor is left",
        "D: getTransitionDomain, findLCCA",
        NEST,
        ["a GO -> p", "r NEXT -> s", "s UP -> t"],
        [
            (None, "+a => a"),
            ("GO", "-a +p +q +r => p.q.r"),
            ("NEXT", "-r +s => p.q.s"),
            ("UP", "-s -q +t => p.t"),
        ],
    ),
    Case(
        "a self-transition leaves and enters",
        "3.5 external transition to itself",
        NEST,
        ["a GO -> p", "r SELF -> r / act"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("SELF", "-r act +r => p.q.r")],
    ),
    Case(
        "a compound self-transition begins again",
        "3.5 external transition of a compound state",
        NEST,
        ["a GO -> s", "p SELF -> p"],
        [(None, "+a => a"), ("GO", "-a +p +q +s => p.q.s"), ("SELF", "-s -q -p +p +q +r => p.q.r")],
    ),
    Case(
        "a parent's transition to its child leaves the parent",
        "3.13 external transition to a descendant",
        NEST,
        ["a GO -> p", "p IN -> t"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("IN", "-r -q -p +p +t => p.t")],
    ),
    Case(
        "a child's transition to its parent",
        "D: findLCCA takes proper ancestors",
        NEST,
        ["a GO -> s", "s OUT -> q"],
        [(None, "+a => a"), ("GO", "-a +p +q +s => p.q.s"), ("OUT", "-s -q +q +r => p.q.r")],
    ),
    # -- selection
    Case(
        "the innermost state reacts first",
        "D: selectTransitions",
        NEST,
        ["a GO -> p", "p X -> a", "r X -> s"],
        [
            (None, "+a => a"),
            ("GO", "-a +p +q +r => p.q.r"),
            ("X", "-r +s => p.q.s"),
            ("X", "-s -q -p +a => a"),
        ],
    ),
    Case(
        "document order among one state's transitions",
        "3.13 document order",
        {"a*": {}, "b": {}, "c": {}},
        ["a GO -> c", "a GO -> b"],
        [(None, "+a => a"), ("GO", "-a +c => c")],
    ),
    Case(
        "a guard that fails falls to the next",
        "D: selectTransitions, conditionMatch",
        {"a*": {}, "b": {}, "c": {}},
        ["a GO [n > 2] -> b", "a GO -> c"],
        [(None, "+a => a"), ("GO", "-a +c => c")],
    ),
    Case(
        "a guard that fails falls to the parent",
        "D: selectTransitions walks the ancestors",
        NEST,
        ["a GO -> p", "r X [n > 2] -> s", "p X -> a"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("X", "-r -q -p +a => a")],
    ),
    Case(
        "a guard sees the payload",
        "5.10 _event.data",
        AB,
        ["a GO [event.k == 7] -> b"],
        [(None, "+a => a"), (Signal("GO", {"k": 1}), " => a"), (Signal("GO", {"k": 7}), "-a +b => b")],
    ),
    Case(
        "a missing value makes no ordered comparison true",
        "5.9.1 conditions that cannot be evaluated are false",
        AB,
        ["a GO [event.k < 7] -> b", "a GO [event.k >= 7] -> b"],
        [(None, "+a => a"), ("GO", " => a")],
    ),
    Case(
        "an unknown event does nothing",
        "D: mainEventLoop",
        AB,
        ["a GO -> b"],
        [(None, "+a => a"), ("X", " => a")],
    ),
    Case(
        "a guard sees the context as actions left it",
        "5.9 data model",
        AB,
        ["a SET -> / n=5", "a GO [n == 5] -> b"],
        [(None, "+a => a"), ("GO", " => a"), ("SET", "n=5 => a"), ("GO", "-a +b => b")],
    ),
    Case(
        "any-state transitions come last",
        "extension: * is the document element",
        NEST,
        ["* X -> a", "r X -> s", "a GO -> p"],
        [
            (None, "+a => a"),
            ("GO", "-a +p +q +r => p.q.r"),
            ("X", "-r +s => p.q.s"),
            ("X", "-s -q -p +a => a"),
        ],
    ),
    # -- internal and external transitions
    Case(
        "without a target nothing is left",
        "3.5 targetless transition",
        NEST,
        ["a GO -> p", "q X -> / act"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("X", "act => p.q.r")],
    ),
    Case(
        "internal to a descendant keeps the source",
        "3.5 type=internal",
        NEST,
        ["a GO -> p", "p X => t / act"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("X", "-r -q act +t => p.t")],
    ),
    Case(
        "internal to an outside state is external",
        "3.5 type=internal needs descendants",
        NEST,
        ["a GO -> p", "p X => a"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("X", "-r -q -p +a => a")],
    ),
    Case(
        "internal from a parallel state is external",
        "3.5 type=internal needs a compound source",
        PAR,
        ["p X => b"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a -p +p +b +c => p.r1.b, p.r2.c")],
    ),
    Case(
        "a targetless transition of a parent in a parallel state runs once",
        "D: selectTransitions, a set",
        PAR,
        ["p X -> / act"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "act => p.r1.a, p.r2.c")],
    ),
    # -- parallel states
    Case("all regions are entered", "3.4 parallel", PAR, [], [(None, "+p +a +c => p.r1.a, p.r2.c")]),
    Case(
        "every region reacts",
        "3.13 transitions in different regions",
        PAR,
        ["a X -> b / one", "c X -> d / two"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a one two +b +d => p.r1.b, p.r2.d")],
    ),
    Case(
        "one region moves, the other stays",
        "3.4 regions are independent",
        PAR,
        ["c X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c +d => p.r1.a, p.r2.d")],
    ),
    Case(
        "leaving a region leaves all",
        "D: computeExitSet",
        PAR,
        ["a X -> out / act"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a -p act +out => out")],
    ),
    Case(
        "a target in one region enters the others by default",
        "D: addAncestorStatesToEnter, parallel",
        {"out*": {}, "p|": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}},
        ["out X -> d"],
        [(None, "+out => out"), ("X", "-out +p +a +d => p.r1.a, p.r2.d")],
    ),
    Case(
        "from one region to the other leaves both",
        "D: findLCCA, only compound ancestors",
        PAR,
        ["a X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a -p +p +a +d => p.r1.a, p.r2.d")],
    ),
    Case(
        "nested parallel states",
        "3.4 parallel in a region",
        {"p|*": {"r1": {"q|*": {"s1": {"a*": {}}, "s2": {"b*": {}}}}, "r2": {"c*": {}}}},
        [],
        [(None, "+p +q +a +b +c => p.r1.q.s1.a, p.r1.q.s2.b, p.r2.c")],
    ),
    Case(
        "compound states in regions",
        "3.4 regions are compound",
        {"p|*": {"r1": {"k*": {"a*": {}, "b": {}}}, "r2": {"c*": {}}}},
        ["a X -> b", "k Y -> k"],
        [
            (None, "+p +k +a +c => p.r1.k.a, p.r2.c"),
            ("X", "-a +b => p.r1.k.b, p.r2.c"),
            ("Y", "-b -k +k +a => p.r1.k.a, p.r2.c"),
        ],
    ),
    Case(
        "three regions in document order",
        "D: enabledTransitions in document order",
        {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}, "r3": {"e*": {}, "f": {}}}},
        ["e X -> f / three", "a X -> b / one", "c X -> d / two"],
        [
            (None, "+p +a +c +e => p.r1.a, p.r2.c, p.r3.e"),
            ("X", "-e -c -a one two three +b +d +f => p.r1.b, p.r2.d, p.r3.f"),
        ],
    ),
    # -- conflicts
    Case(
        "the descendant preempts the ancestor",
        "D: removeConflictingTransitions",
        PAR,
        ["p X -> out", "c X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c +d => p.r1.a, p.r2.d")],
    ),
    Case(
        "document order between regions that both leave",
        "D: removeConflictingTransitions",
        {**PAR, "other": {}},
        ["a X -> out", "c X -> other"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a -p +out => out")],
    ),
    Case(
        "a local move and one that leaves: document order",
        "D: removeConflictingTransitions",
        PAR,
        ["a X -> b", "c X -> out"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-a +b => p.r1.b, p.r2.c")],
    ),
    Case(
        "a targetless transition conflicts with nothing",
        "D: computeExitSet of a targetless transition is empty",
        PAR,
        ["a X -> / stay", "c X -> out / go"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a -p stay go +out => out")],
    ),
    # -- history
    Case(
        "shallow history",
        "3.10 history, shallow",
        HIST,
        ["a NEXT -> b", "b1 NEXT -> b2", "p OUT -> out", "out IN -> h"],
        [
            (None, "+p +a => p.a"),
            ("NEXT", "-a +b +b1 => p.b.b1"),
            ("NEXT", "-b1 +b2 => p.b.b2"),
            ("OUT", "-b2 -b -p +out => out"),
            ("IN", "-out +p +b +b1 => p.b.b1"),
        ],
    ),
    Case(
        "deep history",
        "3.10 history, deep",
        DEEP,
        ["a NEXT -> b", "b1 NEXT -> b2", "p OUT -> out", "out IN -> h"],
        [
            (None, "+p +a => p.a"),
            ("NEXT", "-a +b +b1 => p.b.b1"),
            ("NEXT", "-b1 +b2 => p.b.b2"),
            ("OUT", "-b2 -b -p +out => out"),
            ("IN", "-out +p +b +b2 => p.b.b2"),
        ],
    ),
    Case(
        "history that was never left uses the initial state",
        "3.10.2 default of a history state",
        {"out*": {}, "p": {"a*": {}, "b": {}, "h~": {}}},
        ["out IN -> h"],
        [(None, "+out => out"), ("IN", "-out +p +a => p.a")],
    ),
    Case(
        "history with a default transition and its action",
        "3.10.2 default transition; D: defaultHistoryContent",
        {"out*": {}, "p": {"a*": {}, "b": {}, "h~": {}}},
        ["out IN -> h", "h -> b / content"],
        [(None, "+out => out"), ("IN", "-out +p content +b => p.b")],
    ),
    Case(
        "the default is not used once there is history",
        "3.10.2",
        {"p*": {"a*": {}, "b": {}, "h~": {}}, "out": {}},
        ["p OUT -> out", "out IN -> h", "h -> b / content"],
        [(None, "+p +a => p.a"), ("OUT", "-a -p +out => out"), ("IN", "-out +p +a => p.a")],
    ),
    Case(
        "deep history of a parallel state",
        "3.10 deep history over regions",
        {"w*": {"p|*": {"r1": {"a*": {}, "b": {}}, "r2": {"c*": {}, "d": {}}}, "h~~": {}}, "out": {}},
        ["a X -> b", "c Y -> d", "w OUT -> out", "out IN -> h"],
        [
            (None, "+w +p +a +c => w.p.r1.a, w.p.r2.c"),
            ("X", "-a +b => w.p.r1.b, w.p.r2.c"),
            ("OUT", "-c -b -p -w +out => out"),
            ("IN", "-out +w +p +b +c => w.p.r1.b, w.p.r2.c"),
        ],
    ),
    Case(
        "history in a region",
        "3.10 history of a compound child",
        {"p|*": {"r1": {"k*": {"a*": {}, "b": {}, "h~": {}}, "z": {}}, "r2": {"c*": {}}}},
        ["a X -> b", "k AWAY -> z", "z BACK -> h"],
        [
            (None, "+p +k +a +c => p.r1.k.a, p.r2.c"),
            ("X", "-a +b => p.r1.k.b, p.r2.c"),
            ("AWAY", "-b -k +z => p.r1.z, p.r2.c"),
            ("BACK", "-z +k +b => p.r1.k.b, p.r2.c"),
        ],
    ),
    Case(
        "history is recorded before it is used",
        "D: exitStates records before enterStates",
        {"p*": {"a*": {}, "b": {}, "h~": {}}},
        ["a X -> b", "p AGAIN -> h"],
        [(None, "+p +a => p.a"), ("X", "-a +b => p.b"), ("AGAIN", "-b -p +p +b => p.b")],
    ),
    # -- done events
    Case(
        "a final child completes its parent",
        "3.7 final; D: enterStates, done.state",
        {"p*": {"a*": {}, "f$": {}}, "out": {}},
        ["a X -> f"],
        [(None, "+p +a => p.a"), ("X", "-a +f -f -p +out => out")],
        {"p": {"done": "out"}},
    ),
    Case(
        "done as an event",
        "3.7 done.state event, handled by another state",
        {"w*": {"p*": {"a*": {}, "f$": {}}, "t": {}}},
        ["a X -> f", "w READY -> t"],
        [(None, "+w +p +a => w.p.a"), ("X", "-a +f -f -p -w +w +t => w.t")],
        {"p": {"done": "READY"}},
    ),
    Case(
        "entry actions of the final state come before done",
        "D: enterStates raises done after onentry",
        {"p*": {"a*": {}, "f$": {}}, "out": {}},
        ["a X -> f", "p MORE -> / more"],
        [(None, "+p +a => p.a"), ("X", "-a !MORE more -f -p +out => out")],
        {"p": {"done": "out"}, "f": {"entry": "!MORE"}},
    ),
    Case(
        "a parallel state is done when all regions are",
        "3.4 done.state of parallel; D: isInFinalState",
        PARF,
        ["a X -> b", "c Y -> d"],
        [
            (None, "+p +a +c => p.r1.a, p.r2.c"),
            ("X", "-a +b => p.r1.b, p.r2.c"),
            ("Y", "-c +d -d -b -p +out => out"),
        ],
        {"p": {"done": "out"}},
    ),
    Case(
        "both regions end at once: one done event",
        "D: enterStates",
        PARF,
        ["a X -> b", "c X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a +b +d -d -b -p +out => out")],
        {"p": {"done": "out"}},
    ),
    Case(
        "any-final: the first region decides",
        "extension: sync any-final",
        PARF,
        ["a X -> b", "c X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c -a +b +d -d -b -p +out => out")],
        {"p": {"done": "out", "sync": "any-final"}},
    ),
    Case(
        "any-final with one region",
        "extension: sync any-final",
        PARF,
        ["c X -> d"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("X", "-c +d -d -a -p +out => out")],
        {"p": {"done": "out", "sync": "any-final"}},
    ),
    Case(
        "finals of equal names in other regions do not count",
        "D: isInFinalState looks at its own children",
        {"p|*": {"r1": {"a*": {}, "b$": {}}, "r2": {"c*": {}, "d": {"e*": {}, "f$": {}}}}, "out": {}},
        ["a X -> b", "c X -> d", "e X -> f"],
        [
            (None, "+p +a +c => p.r1.a, p.r2.c"),
            ("X", "-c -a +b +d +e => p.r1.b, p.r2.d.e"),
            ("X", "-e +f => p.r1.b, p.r2.d.f"),
        ],
        {"p": {"done": "out"}},
    ),
    Case(
        "on_done to a compound state expands it",
        "D: enterStates for the done transition",
        {"p*": {"a*": {}, "f$": {}}, "w": {"x*": {"y*": {}}}},
        ["a X -> f"],
        [(None, "+p +a => p.a"), ("X", "-a +f -f -p +w +x +y => w.x.y")],
        {"p": {"done": "w"}},
    ),
    Case(
        "a top-level final state ends the machine",
        "D: enterStates, exitInterpreter",
        {"a*": {}, "f$": {}},
        ["a X -> f", "f X -> a"],
        [(None, "+a => a"), ("X", "-a +f -f => f"), ("X", " => f")],
    ),
    Case(
        "a machine can end at its start",
        "D: interpret",
        {"f$*": {}},
        [],
        [(None, "+f -f => f"), ("X", " => f")],
    ),
    # -- eventless transitions
    Case(
        "eventless transitions are taken at once",
        "3.13 eventless transitions",
        {"a*": {}, "b": {}, "c": {}},
        ["a GO -> b", "b -> c / act"],
        [(None, "+a => a"), ("GO", "-a +b -b act +c => c")],
    ),
    Case(
        "at the start too",
        "D: mainEventLoop",
        {"a*": {}, "b": {}},
        ["a -> b"],
        [(None, "+a -a +b => b")],
    ),
    Case(
        "eventless with a guard waits for it",
        "3.13 eventless transitions with cond",
        {"a*": {}, "b": {}},
        ["a [n > 1] -> b", "a ADD -> / n+1"],
        [(None, "+a => a"), ("ADD", "n+1 => a"), ("ADD", "n+1 -a +b => b")],
    ),
    Case(
        "eventless before internal events",
        "D: mainEventLoop, eventless first",
        {"a*": {}, "b": {}, "c": {}, "d": {}},
        ["a GO -> b / !E", "b -> c", "b E -> d", "c E -> d / late"],
        [(None, "+a => a"), ("GO", "-a !E +b -b +c -c late +d => d")],
    ),
    Case(
        "eventless in every region",
        "3.13 eventless transitions in regions",
        PAR,
        ["a [n > 0] -> b", "c [n > 0] -> d", "p SET -> / n=1"],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), ("SET", "n=1 -c -a +b +d => p.r1.b, p.r2.d")],
    ),
    # -- raised events
    Case(
        "raised events come before external ones",
        "4.2 raise; D: internalQueue",
        {"a*": {}, "b": {}, "c": {}},
        ["a GO -> b / !E", "b E -> c", "b GO -> a"],
        [(None, "+a => a"), ("GO", "-a !E +b -b +c => c"), ("GO", " => c")],
    ),
    Case(
        "raised events in their order",
        "4.2 raise, first in first out",
        {"a*": {}, "b": {}},
        ["a GO -> b / !ONE", "b ONE -> / one", "b TWO -> / two"],
        [(None, "+a => a"), ("GO", "-a !ONE !TWO one two => b")],
        {"b": {"entry": "!TWO"}},
    ),
    Case(
        "a raised event that nobody handles is dropped",
        "D: mainEventLoop",
        AB,
        ["a GO -> b / !E"],
        [(None, "+a => a"), ("GO", "-a !E +b => b")],
    ),
    # -- errors
    Case(
        "an error in a transition's action is taken instead",
        "3.12.2 errors; extension: all or nothing",
        {"a*": {}, "b": {}, "bad": {}},
        ["a GO -> b / fail"],
        [(None, "+a => a"), ("GO", "-a +bad => bad")],
        {"a": {"error": "bad"}},
    ),
    Case(
        "an error on entry is handled by the state entered",
        "3.12.2 error.execution; extension: on_error",
        {"a*": {}, "b": {}, "bad": {}},
        ["a GO -> b"],
        [(None, "+a => a"), ("GO", "-a fail -b +bad => bad")],
        {"b": {"error": "bad", "entry": "fail"}},
    ),
    Case(
        "an error is handled by the nearest ancestor",
        "3.12.2 error events are selected as others are",
        {"p*": {"a*": {}, "b": {}}, "bad": {}},
        ["a GO -> b / fail"],
        [(None, "+p +a => p.a"), ("GO", "-a -p +bad => bad")],
        {"p": {"error": "bad"}},
    ),
    Case(
        "an error as an event",
        "3.12.2 error events",
        {"a*": {}, "b": {}, "bad": {}},
        ["a GO -> b / fail", "a OOPS -> bad / note"],
        [(None, "+a => a"), ("GO", "-a note +bad => bad")],
        {"a": {"error": "OOPS"}},
    ),
    # -- delays
    Case(
        "a timer belongs to its state",
        "6.2 send with delay; extension: timeout",
        AB,
        ["b BACK -> a"],
        [(None, "+a => a"), (timeout("a"), "-a +b => b"), (timeout("a"), " => b"), ("BACK", "-b +a => a")],
        {"a": {"timeout": (500, "b")}},
    ),
    Case(
        "a timer in a region moves only its region",
        "6.2; 3.4",
        PAR,
        [],
        [(None, "+p +a +c => p.r1.a, p.r2.c"), (timeout("p.r2.c"), "-c +d => p.r1.a, p.r2.d")],
        {"c": {"timeout": (500, "d")}},
    ),
    Case(
        "a timer of a compound state",
        "6.2; D: selectTransitions walks the ancestors",
        NEST,
        ["a GO -> p"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), (timeout("p"), "-r -q -p +a => a")],
        {"p": {"timeout": (500, "a")}},
    ),
    # -- ignore
    Case(
        "ignore never blocks a transition",
        "extension: ignore is a fallback",
        NEST,
        ["a GO -> p", "p X -> a"],
        [(None, "+a => a"), ("GO", "-a +p +q +r => p.q.r"), ("X", "-r -q -p +a => a")],
        {"r": {"ignore": ("X",)}},
    ),
]


def wire(snapshot: Snapshot) -> Snapshot:
    """A snapshot through JSON."""
    text = json.dumps(
        [snapshot.configuration, dict(snapshot.context), snapshot.history, snapshot.status], allow_nan=False
    )
    configuration, context, history, status = json.loads(text)
    return Snapshot(tuple(configuration), context, tuple((h, tuple(states)) for h, states in history), status)


@pytest.mark.parametrize("restored", [False, True], ids=["plain", "restored"])
@pytest.mark.parametrize("engine", [Reference, Compiled])
@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_case(case: Case, engine: type, restored: bool) -> None:
    plan = compile_plan(chart(case.states, case.rows, case.options))
    runner = engine(plan)
    snapshot = initial_snapshot(plan)
    for event, expected in case.steps:
        done = step(plan, snapshot, event, handlers=HANDLERS, engine=runner)
        snapshot = done.snapshot
        assert f"{trace(done.commands)} => {plan.describe(snapshot.configuration)}" == expected, case.clause
        if restored:
            plan = compile_plan(chart(case.states, case.rows, case.options))
            runner = engine(plan)
            snapshot = wire(snapshot)


def test_the_corpus_is_large_and_names_its_clauses() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.clause for case in CASES)


@pytest.mark.parametrize("engine", [Reference, Compiled])
def test_a_cycle_is_named(engine: type) -> None:
    plan = compile_plan(
        chart({"a*": {}, "b": {}, "c": {}}, ["a GO -> b", "b -> c", "c -> b"]), microsteps_max=50
    )
    started = step(plan, initial_snapshot(plan), engine=engine(plan)).snapshot
    with pytest.raises(LivelockError) as caught:
        step(plan, started, "GO", engine=engine(plan))
    assert set(caught.value.cycle) == {"b", "c"}
    assert caught.value.bound == 50


@pytest.mark.parametrize("engine", [Reference, Compiled])
def test_an_endless_climb_is_stopped_too(engine: type) -> None:
    plan = compile_plan(chart({"a*": {}}, ["a GO -> / !GO"]), microsteps_max=20)
    started = step(plan, initial_snapshot(plan), engine=engine(plan)).snapshot
    with pytest.raises(LivelockError, match="a -> a"):
        step(plan, started, "GO", handlers=HANDLERS, engine=engine(plan))


@pytest.mark.parametrize("engine", [Reference, Compiled])
def test_timers_start_for_states_that_stay(engine: type) -> None:
    states = {"a*": {}, "b": {}, "c": {}}
    options = {name: {"timeout": (500, "a")} for name in "bc"}
    plan = compile_plan(chart(states, ["a GO -> b", "b -> c"], options))
    started = step(plan, initial_snapshot(plan), engine=engine(plan)).snapshot
    commands = step(plan, started, "GO", engine=engine(plan)).commands
    assert [c.path for c in commands if isinstance(c, StartTimer)] == ["c"]
