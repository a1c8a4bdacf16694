from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import inspect
from array import array
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel

from orca.processor import (
    ArrayResult,
    Dep,
    DependencyResult,
    DependencyResultRow,
    ExecutionParams,
    NoneResult,
    Processor,
    StructResult,
    ValueResult,
    Window,
    WindowType,
    errors,
    lookback,
)
from orca.processor.annotations import UNSET, InputError, converter, reader_for, result_kind
from orca.processor.definition import look_back
from orca.processor.model import ResultKind
from orca.processor.params import Dependencies, DependencyAlgorithm

TYPE = WindowType("Every30Second", "1.0.0", "half a minute")


@dataclasses.dataclass
class Stats:
    mean: float
    count: int = 0


class Typed(TypedDict):
    mean: float


class Named(NamedTuple):
    mean: float


class Model(BaseModel):
    mean: float
    at: dt.date | None = None


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Deep:
    stats: Stats
    colour: Colour
    day: dt.date
    history: list[Stats]


@dataclasses.dataclass
class Unsendable:
    raw: bytes


@dataclasses.dataclass
class Holder:
    inner: Unsendable


class Tree(TypedDict):
    children: list[Tree]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (UNSET, ResultKind.NOT_SPECIFIED),
        (Any, ResultKind.NOT_SPECIFIED),
        (None, ResultKind.NONE),
        (NoneResult, ResultKind.NONE),
        (float, ResultKind.VALUE),
        (int, ResultKind.VALUE),
        (bool, ResultKind.VALUE),
        (Decimal, ResultKind.VALUE),
        (np.float32, ResultKind.VALUE),
        (ValueResult, ResultKind.VALUE),
        (float | None, ResultKind.VALUE),
        (float | int, ResultKind.VALUE),
        (StructResult | ValueResult, ResultKind.NOT_SPECIFIED),
        (list, ResultKind.ARRAY),
        (list[float], ResultKind.ARRAY),
        (list[Any], ResultKind.ARRAY),
        (tuple[float, ...], ResultKind.ARRAY),
        (Sequence[int], ResultKind.ARRAY),
        (np.ndarray, ResultKind.ARRAY),
        (npt.NDArray[np.float64], ResultKind.ARRAY),
        (array, ResultKind.ARRAY),
        (ArrayResult, ResultKind.ARRAY),
        (dict, ResultKind.STRUCT),
        (dict[str, Any], ResultKind.STRUCT),
        (Typed, ResultKind.STRUCT),
        (Tree, ResultKind.STRUCT),
        (Stats, ResultKind.STRUCT),
        (Deep, ResultKind.STRUCT),
        (Named, ResultKind.STRUCT),
        (Model, ResultKind.STRUCT),
        (StructResult, ResultKind.STRUCT),
        (Annotated[float, "celsius"], ResultKind.VALUE),
    ],
)
def test_annotations_tell_the_form(annotation: Any, kind: ResultKind) -> None:
    assert result_kind(annotation) is kind


@pytest.mark.parametrize(
    "annotation", [str, bytes, list[str], list[dict[str, float]], dict[int, float], Unsendable, Holder]
)
def test_annotations_of_what_cannot_be_sent(annotation: Any) -> None:
    with pytest.raises(errors.InvalidAlgorithmReturnType):
        result_kind(annotation)


def test_the_place_inside_a_type_is_named() -> None:
    with pytest.raises(errors.InvalidAlgorithmReturnType, match=r"Holder\.inner: Unsendable\.raw: bytes"):
        result_kind(Holder)


@pytest.mark.parametrize(
    ("annotation", "wire_value", "value"),
    [
        (float, 2.0, 2.0),
        (float, {"value": 2.5}, 2.5),
        (int, 2.0, 2),
        (bool, 1.0, True),
        (list[float], [1.0], [1.0]),
        (list[float], {"value": [1.0]}, [1.0]),
        (tuple[float, ...], [1.0], (1.0,)),
        (dict[str, float], {"a": 1.0}, {"a": 1.0}),
        (Stats, {"mean": 1.0, "count": 2.0}, Stats(1.0, 2)),
        (Typed, {"mean": 1.0}, {"mean": 1.0}),
        (Named, {"mean": 1.0}, Named(1.0)),
        (Model, {"mean": 1.0, "at": "2026-01-02"}, Model(mean=1.0, at=dt.date(2026, 1, 2))),
        (
            Deep,
            {"stats": {"mean": 1.0}, "colour": "red", "day": "2026-01-02", "history": []},
            Deep(Stats(1.0), Colour.RED, dt.date(2026, 1, 2), []),
        ),
        (float | None, None, None),
        (float | None, 1.0, 1.0),
        (float | dict[str, Any], {"a": 1.0}, {"a": 1.0}),
        (np.float64, 1.5, 1.5),
        (Any, "x", "x"),
        (UNSET, [1.0], [1.0]),
    ],
)
def test_dependency_values_become_what_is_asked_for(annotation: Any, wire_value: Any, value: Any) -> None:
    found = converter(annotation)(wire_value)
    assert found == value
    assert type(found) is type(value) or isinstance(found, np.generic)


def test_arrays_become_numpy() -> None:
    assert converter(np.ndarray)([1.0, 2.0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("annotation", "wire_value", "words"),
    [
        (float, {"a": 1.0}, "a struct"),
        (float, None, "missing"),
        (int, 1.5, "1.5"),
        (list[float], 1.0, "a number"),
        (dict[str, Any], [1.0], "a list"),
        (Stats, {"colour": 1.0}, "Stats"),
        (Model, {"mean": "x"}, "Model"),
        (np.ndarray, 1.0, "an array"),
        (float, "x", "a str"),
    ],
)
def test_dependency_values_of_another_form(annotation: Any, wire_value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        converter(annotation)(wire_value)


WINDOW = Window(1, 2, "A", "1.0.0")
RESULT = DependencyResult(
    DependencyAlgorithm("Mean", "1.0.0"), [DependencyResultRow(WINDOW, 1.0), DependencyResultRow(WINDOW, 2.0)]
)


def test_look_backs_become_lists() -> None:
    assert reader_for(list[float], many=True)(RESULT) == [1.0, 2.0]
    assert reader_for(UNSET, many=True)(RESULT) == [1.0, 2.0]
    assert reader_for(list[DependencyResultRow], many=True)(RESULT) == RESULT.results
    assert reader_for(DependencyResult, many=True)(RESULT) is RESULT
    assert reader_for(np.ndarray, many=True)(RESULT).tolist() == [1.0, 2.0]
    assert reader_for(DependencyResultRow, many=False)(RESULT) == RESULT.results[1]
    assert reader_for(list[float], many=True)(None) == []
    assert reader_for(DependencyResultRow, many=False)(None) is None
    assert reader_for(list[DependencyResultRow], many=True)(None) == []


def test_dependencies_are_a_mapping() -> None:
    found = Dependencies({"Mean_1.0.0": RESULT}, lookbacks=frozenset({"Mean_1.0.0"}))
    plain = Dependencies({"Mean_1.0.0": RESULT})
    assert found["Mean"] == [1.0, 2.0]
    assert plain["Mean_1.0.0"] == 2.0
    assert (list(plain), len(plain), repr(plain)) == (["Mean_1.0.0"], 1, "Dependencies(Mean_1.0.0)")
    with pytest.raises(KeyError, match="there are: Mean_1"):
        plain["Other"]
    with pytest.raises(KeyError):
        plain[object()]
    assert RESULT.algorithm.id == "Mean_1.0.0"
    empty = DependencyResult(DependencyAlgorithm("E", "1.0.0"), [])
    assert Dependencies({"E_1.0.0": empty})["E"] is None
    assert len(Dependencies()) == 0
    assert ExecutionParams(WINDOW).shared("k", lambda: 5) == 5
    assert not ExecutionParams(WINDOW).cancelled


def spec_of(proc: Processor, index: int = -1) -> Any:
    return proc.spec("a:1").algorithms[index]


def test_functions_stay_what_they_are() -> None:
    proc = Processor("ml")

    @proc.algorithm("Mean", "1.0.0", TYPE)
    def mean(x: float = 2.0) -> float:
        """The mean.

        Of all.
        """
        return x

    assert mean(3.0) == 3.0
    assert mean.__name__ == "mean"
    assert inspect.signature(mean).parameters["x"].default == 2.0
    assert spec_of(proc).description == "The mean."
    assert repr(proc) == "Processor('ml', 1 algorithms)"


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Callable1:
    def __call__(self, window: Window) -> float:
        return window.duration_s


def with_factor(window: Window, factor: float) -> float:
    return window.duration_s * factor


def test_wrapped_partial_and_callable_objects_are_understood() -> None:
    proc = Processor("ml")

    @proc.algorithm("Wrapped", "1.0.0", TYPE)
    @logged
    def wrapped(window: Window) -> dict[str, float]:
        return {"s": window.duration_s}

    proc.algorithm("Partial", "1.0.0", TYPE)(functools.partial(with_factor, factor=2.0))
    proc.algorithm("Object", "1.0.0", TYPE)(Callable1())
    specs = proc.spec("a:1").algorithms
    assert [one.result_kind for one in specs] == [ResultKind.STRUCT, ResultKind.VALUE, ResultKind.VALUE]
    assert [[one.name for one in d.inputs] for d in proc.registry] == [["window"], ["window"], ["window"]]


def test_names_of_the_function_around_are_found() -> None:
    @dataclasses.dataclass
    class Local:
        mean: float

    proc = Processor("ml")

    @proc.algorithm("Local", "1.0.0", TYPE)
    def local() -> Local:
        return Local(1.0)

    @proc.algorithm("Uses", "1.0.0", TYPE)
    def uses(value: Annotated[Local, Dep(local)]) -> float:
        return value.mean

    assert spec_of(proc).dependencies[0].full_name == "Local_1.0.0"


def test_all_mistakes_are_told_together_with_their_places() -> None:
    proc = Processor("ml")

    def plain() -> float:
        return 1.0

    @proc.algorithm("lower", "1.0", TYPE)
    def first() -> float:
        return 1.0

    @proc.algorithm("Text", "1.0.0", TYPE)
    def second() -> str:
        return ""

    @proc.algorithm("Param", "1.0.0", TYPE)
    def third(thing: int, /, other: int) -> float:
        return 1.0

    @proc.algorithm("Dep", "1.0.0", TYPE, depends_on=[plain, "Nothing_1.0.0"])
    def fourth() -> float:
        return 1.0

    @proc.algorithm("Window", "1.0.0", "every", "1")
    def fifth() -> float:
        return 1.0

    @proc.algorithm("Generator", "1.0.0", TYPE, exact=True, timeout_s=-1)
    def sixth() -> dict[str, float]:
        yield {}  # type: ignore[misc]

    @proc.algorithm("Text", "1.0.0", TYPE)
    def seventh() -> float:
        return 1.0

    @proc.algorithm("Odd", "1.0.0", TYPE, None, [], 5, colour="red", lookback=3)  # type: ignore[call-overload]
    def eighth(params: Unknown) -> float:  # type: ignore[name-defined]  # noqa: F821
        return 1.0

    @proc.algorithm("Self", "1.0.0", TYPE, depends_on=["Self_1.0.0"])
    def ninth() -> float:
        return 1.0

    @proc.algorithm("Twice", "1.0.0", TYPE, depends_on=[ninth, lookback(ninth, n=2)])
    def tenth() -> float:
        return 1.0

    with pytest.raises(errors.InvalidDefinitions) as caught:
        proc.check()
    text = str(caught.value)
    for words in (
        "'lower' must be in PascalCase",
        "Version '1.0' must follow",
        "results of type str cannot be sent",
        "'thing' is positional-only",
        "could get",
        "`plain` to dependency stack",
        "`Nothing_1.0.0`",
        "'every' must be in PascalCase",
        "generator",
        "exact=True",
        "timeout_s is -1",
        "Text_1.0.0 already exists",
        "Unknown",
        "arguments that mean nothing: 5, colour",
        "no look-back",
        "cannot depend on itself",
        "given twice",
    ):
        assert words in text, words
    line = inspect.getsourcelines(first)[1]
    assert f"{__file__}:{line}: Algorithm name 'lower'" in text
    assert len(caught.value.faults) == 17
    assert all(fault.file == __file__ for fault in caught.value.faults)
    assert isinstance(caught.value, errors.InvalidDependency)
    assert isinstance(caught.value, errors.InvalidAlgorithmArgument)
    assert caught.value.exit_code == 2


def test_circles_are_shown_with_their_path() -> None:
    proc = Processor("ml")

    @proc.algorithm("A", "1.0.0", TYPE, depends_on=["B_1.0.0"])
    def a() -> float:
        return 1.0

    @proc.algorithm("B", "1.0.0", TYPE, depends_on=["C_1.0.0"])
    def b() -> float:
        return 1.0

    @proc.algorithm("C", "1.0.0", TYPE, depends_on=["A_1.0.0", "D_1.0.0"])
    def c() -> float:
        return 1.0

    @proc.algorithm("D", "1.0.0", TYPE)
    def d() -> float:
        return 1.0

    with pytest.raises(errors.InvalidDependency, match=r"A_1\.0\.0 -> B_1\.0\.0 -> C_1\.0\.0 -> A_1\.0\.0"):
        proc.check()


def test_a_diamond_and_a_look_back_in_a_circle_are_fine() -> None:
    proc = Processor("ml")

    @proc.algorithm("A", "1.0.0", TYPE, depends_on=[Dep("D", n=1)])
    def a() -> float:
        return 1.0

    @proc.algorithm("B", "1.0.0", TYPE, depends_on=[a])
    def b() -> float:
        return 1.0

    @proc.algorithm("C", "1.0.0", TYPE, depends_on=[a])
    def c() -> float:
        return 1.0

    @proc.algorithm("D", "1.0.0", TYPE, depends_on=[b, c])
    def d() -> float:
        return 1.0

    proc.check()
    proc.check()
    assert len(spec_of(proc).dependencies) == 2


def test_algorithms_of_another_processor_in_the_same_program() -> None:
    one, two = Processor("one"), Processor("two")

    @one.algorithm("A", "1.0.0", TYPE)
    def a() -> float:
        return 1.0

    @two.algorithm("B", "1.0.0", TYPE, depends_on=[a])
    def b(value: Annotated[float, Dep(a)]) -> float:
        return value

    assert spec_of(two).dependencies[0].processor == "one"


class Stub:
    __orca_is_remote__ = True
    __orca_metadata__: ClassVar = {
        "Name": "Far",
        "Version": "1.0.0",
        "ProcessorName": "far",
        "ProcessorRuntime": "go",
    }


def test_stubs_and_broken_stubs() -> None:
    proc = Processor("ml")
    broken = type("Broken", (), {"__orca_is_remote__": True, "__orca_metadata__": {"Name": "X"}})

    @proc.algorithm("Near", "1.0.0", TYPE, depends_on=[Stub, lookback(Stub, td=dt.timedelta(hours=1))][1:])
    def near(params: ExecutionParams) -> float:
        return 1.0

    found = spec_of(proc).dependencies[0]
    assert (found.full_name, found.processor, found.runtime) == ("Far_1.0.0", "far", "go")
    assert found.lookback.span_ns == 3_600_000_000_000

    @proc.algorithm("Bad", "1.0.0", TYPE, depends_on=[broken])
    def bad() -> float:
        return 1.0

    with pytest.raises(errors.BrokenRemoteAlgorithmStubs, match="orca sync"):
        proc.check()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 1, "td": dt.timedelta(1)},
        {"n": 0},
        {"n": 2**32},
        {"td": dt.timedelta(0)},
        {"n": 1, "gap_n": 1, "gap_td": dt.timedelta(1)},
        {"n": 1, "gap_n": -1},
    ],
)
def test_look_backs_that_cannot_be(options: Any) -> None:
    with pytest.raises(errors.InvalidDependency):
        look_back(**options)


def test_descriptions_are_never_empty_nor_too_long() -> None:
    proc = Processor("ml")

    @proc.algorithm("Bare", "1.0.0", TYPE)
    def bare() -> float:
        return 1.0

    @proc.algorithm("Long", "1.0.0", TYPE, "x" * 5000)
    def long() -> float:
        return 1.0

    assert [len(one.description) for one in proc.spec("a:1").algorithms] == [4, 1000]


def test_too_many_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orca.processor.registry.ALGORITHMS_MAX", 0)
    proc = Processor("ml")
    proc.algorithm("A", "1.0.0", TYPE)(logged)
    with pytest.raises(errors.InvalidDefinitions, match="more than 0"):
        proc.check()


def test_unknown_executors() -> None:
    with pytest.raises(errors.InvalidAlgorithmArgument, match="process"):
        Processor("ml", executor="threads")
    assert Processor("ml", executor="thread") is not None


def test_named_aliases_are_looked_through() -> None:
    from typing_extensions import TypeAliasType

    numbers = TypeAliasType("numbers", list[float])
    assert result_kind(numbers) is ResultKind.ARRAY
    assert converter(numbers)([1.0]) == [1.0]
