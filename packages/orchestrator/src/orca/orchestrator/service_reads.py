# ruff: noqa: ARG002 - gRPC hands a request and a context to every handler
"""The data calls of cores 0.6 to 0.10, which later cores removed: windows, results, metadata, annotations.

Ranges mean windows that lie wholly inside; the time of a result is the middle of its window.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from orca.orchestrator.model import WindowSpan, WindowTypeDef, WindowTypeRef
from orca.orchestrator.operations import put_annotation
from orca.orchestrator.queries import ROWS_MAX, Page, Where, read_results, read_windows
from orca.orchestrator.store.codec import decode_fields
from orca.orchestrator.store.records import StoredValue
from orca.orchestrator.wireform import algorithm_message, result_message, window_message, window_type_message
from orca.processor import convert, structs, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orca.orchestrator.core import Core
    from orca.orchestrator.rpc import Guard

__all__ = ["ReadService"]

_ALL = Page(limit=ROWS_MAX)
_DISTINCT = """
SELECT DISTINCT w.metadata FROM windows w JOIN window_types t ON t.id = w.type_id {where}
ORDER BY w.metadata LIMIT ?
"""
# The most that one answer has, and how many are put into it in one turn of the loop.
DISTINCT_MAX = 100_000
DISTINCT_STEP = 500


class ReadService:
    """The removed Read calls and Annotate.

    Args:
        core: Whose store is read.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def handlers(self, guard: Guard) -> Mapping[Any, Callable[..., Any]]:
        """The methods with their guards."""
        offered = wire.OrcaCore
        return {
            offered.ReadWindowTypes: guard("read", self.window_types),
            offered.ReadAlgorithms: guard("read", self.algorithms),
            offered.ReadProcessors: guard("read", self.processors),
            offered.ReadResultsStats: guard("read", self.stats),
            offered.ReadResultFieldsForAlgorithm: guard("read", self.fields),
            offered.ReadResultsForAlgorithm: guard("read", self.results),
            offered.ReadWindows: guard("read", self.windows),
            offered.ReadDistinctMetadataForWindowType: guard("read", self.distinct_metadata),
            offered.ReadWindowsForMetadata: guard("read", self.windows_for_metadata),
            offered.ReadResultsForAlgorithmAndMetadata: guard("read", self.results_for_metadata),
            offered.Annotate: guard("emit", self.annotate),
        }

    async def window_types(self, request: wire.WindowTypeRead, context: Any) -> wire.WindowTypes:
        """Every window type."""
        rows = await self._core.store.fetch(
            "SELECT name, version, description, fields FROM window_types ORDER BY id"
        )
        found = [
            WindowTypeDef(row["name"], row["version"], row["description"], decode_fields(row["fields"]))
            for row in rows
        ]
        return wire.WindowTypes(windows=[window_type_message(entry) for entry in found])

    async def algorithms(self, request: wire.AlgorithmsRead, context: Any) -> wire.Algorithms:
        """Every registered algorithm."""
        everybody = self._core.registry.registrations
        return wire.Algorithms(
            algorithm=[algorithm_message(one) for entry in everybody for one in entry.algorithms]
        )

    async def processors(self, request: wire.ProcessorsRead, context: Any) -> wire.Processors:
        """Every processor."""
        answer = wire.Processors()
        for entry in self._core.registry.registrations:
            answer.processor.add(name=entry.processor.name, runtime=entry.runtime)
        return answer

    async def stats(self, request: wire.ResultsStatsRead, context: Any) -> wire.ResultsStats:
        """How many results there are."""
        rows = await self._core.store.fetch("SELECT count(*) AS number FROM results")
        return wire.ResultsStats(Count=rows[0]["number"])

    async def fields(self, request: wire.AlgorithmFieldsRead, context: Any) -> wire.AlgorithmFields:
        """The keys that an algorithm's struct results have in a range."""
        found: dict[str, None] = {}
        async for row in read_results(self._core.store, _results_where(request), _ALL):
            if row["kind"] == 1:
                found.update(dict.fromkeys(json.loads(row["payload"])))
        return wire.AlgorithmFields(field=sorted(found))

    async def results(self, request: wire.ResultsForAlgorithmRead, context: Any) -> wire.ResultsForAlgorithm:
        """An algorithm's results in a range."""
        answer = wire.ResultsForAlgorithm()
        async for row in read_results(self._core.store, _results_where(request), _ALL):
            _fill_row(answer.results.add(), row)
        return answer

    async def results_for_metadata(
        self,
        request: wire.ResultsForAlgorithmAndMetadataRead,
        context: Any,
    ) -> wire.ResultsForAlgorithmAndMetadata:
        """An algorithm's results in a range, of windows with given metadata."""
        answer = wire.ResultsForAlgorithmAndMetadata()
        page = Page(limit=ROWS_MAX, metadata=_wanted(request.metadata))
        async for row in read_results(self._core.store, _results_where(request), page):
            _fill_row(answer.results.add(), row)
        return answer

    async def windows(self, request: wire.WindowsRead, context: Any) -> wire.Windows:
        """Windows of a type in a range."""
        where = _windows_where(request, request.window)
        return wire.Windows(
            window=[_window(row) async for row in read_windows(self._core.store, where, _ALL)]
        )

    async def windows_for_metadata(
        self,
        request: wire.WindowsForMetadataRead,
        context: Any,
    ) -> wire.WindowsForMetadata:
        """Windows of a type in a range, with given metadata."""
        where = _windows_where(request, request.window)
        page = Page(limit=ROWS_MAX, metadata=_wanted(request.metadata))
        rows = [_window(row) async for row in read_windows(self._core.store, where, page)]
        return wire.WindowsForMetadata(window=rows)

    async def distinct_metadata(
        self,
        request: wire.DistinctMetadataForWindowTypeRead,
        context: Any,
    ) -> wire.DistinctMetadataForWindowType:
        """The different metadata of a type's windows in a range: the first `DISTINCT_MAX`, in order of their text."""
        where = _windows_where(request, request.window_type)
        sql = _DISTINCT.format(where=where.text)
        answer = wire.DistinctMetadataForWindowType()
        answer.metadata.SetInParent()
        rows = await self._core.store.fetch(sql, [*where.parameters, DISTINCT_MAX])
        for number, row in enumerate(rows, 1):
            if number % DISTINCT_STEP == 0:
                await asyncio.sleep(0)
            slot = answer.metadata.values.add()
            slot.struct_value.SetInParent()
            structs.fill_struct(slot.struct_value, json.loads(row["metadata"]))
        return answer

    async def annotate(self, request: wire.AnnotateWrite, context: Any) -> wire.AnnotateResponse:
        """Store a note on a span of time."""
        await put_annotation(
            self._core,
            (convert.timestamp_ns(request.time_from), convert.timestamp_ns(request.time_to)),
            request.description,
            metadata=structs.struct_dict(request.metadata),
            algorithms=[(entry.name, entry.version) for entry in request.captured_algorithms],
            window_types=[(entry.name, entry.version) for entry in request.captured_windows],
        )
        return wire.AnnotateResponse()


def _range(where: Where, alias: str, request: Any) -> None:
    until = convert.timestamp_ns(request.time_to)
    where.span(alias, convert.timestamp_ns(request.time_from), until)


def _results_where(request: Any) -> Where:
    where = Where()
    where.ref("a", request.algorithm.name, request.algorithm.version)
    _range(where, "s", request)
    return where


def _windows_where(request: Any, kind: wire.WindowType) -> Where:
    where = Where()
    where.ref("t", kind.name, kind.version)
    _range(where, "w", request)
    return where


def _wanted(entries: Iterable[Any]) -> dict[str, Any]:
    return {entry.field: structs.value_object(entry.value) for entry in entries}


def _window(row: Mapping[str, Any]) -> wire.Window:
    span = WindowSpan(row["id"], row["time_from"], row["time_to"])
    kind = WindowTypeRef(row["type_name"], row["type_version"])
    return window_message(kind, span, origin=row["origin"], metadata=row["metadata"])


def _fill_row(target: Any, row: Mapping[str, Any]) -> None:
    target.time.FromNanoseconds((row["time_from"] + row["time_to"]) // 2)
    result = result_message(StoredValue(row["kind"], row["number"], row["payload"]))
    kind = result.WhichOneof("result_data")
    if kind == "single_value":
        target.single_value = result.single_value
    elif kind == "float_values":
        target.array_values.CopyFrom(result.float_values)
    elif kind == "struct_value":
        target.struct_value.CopyFrom(result.struct_value)
