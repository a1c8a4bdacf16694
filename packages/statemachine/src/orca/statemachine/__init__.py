"""A statechart language for people and LLMs: parser, verifier, correct and fast async runtime.

Names are imported at their first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orca.statemachine.diagnostics import Diagnostic as Diagnostic
    from orca.statemachine.diagnostics import ParseError as ParseError
    from orca.statemachine.expr import GuardAnd as GuardAnd
    from orca.statemachine.expr import GuardCompare as GuardCompare
    from orca.statemachine.expr import GuardExpression as GuardExpression
    from orca.statemachine.expr import GuardFalse as GuardFalse
    from orca.statemachine.expr import GuardNot as GuardNot
    from orca.statemachine.expr import GuardNullcheck as GuardNullcheck
    from orca.statemachine.expr import GuardOr as GuardOr
    from orca.statemachine.expr import GuardTrue as GuardTrue
    from orca.statemachine.expr import ValueRef as ValueRef
    from orca.statemachine.expr import VariableRef as VariableRef
    from orca.statemachine.load import LoadResult as LoadResult
    from orca.statemachine.load import load as load
    from orca.statemachine.load import parse_document as parse_document
    from orca.statemachine.load import parse_orca as parse_orca
    from orca.statemachine.load import parse_orca_auto as parse_orca_auto
    from orca.statemachine.load import parse_orca_md as parse_orca_md
    from orca.statemachine.load import parse_orca_md_multi as parse_orca_md_multi
    from orca.statemachine.model import ActionSignature as ActionSignature
    from orca.statemachine.model import Document as Document
    from orca.statemachine.model import EffectDef as EffectDef
    from orca.statemachine.model import GuardDef as GuardDef
    from orca.statemachine.model import InvokeDef as InvokeDef
    from orca.statemachine.model import MachineDef as MachineDef
    from orca.statemachine.model import ParallelDef as ParallelDef
    from orca.statemachine.model import RegionDef as RegionDef
    from orca.statemachine.model import ReturnDef as ReturnDef
    from orca.statemachine.model import StateDef as StateDef
    from orca.statemachine.model import Transition as Transition
    from orca.statemachine.tables import DecisionTableDef as DecisionTableDef

__version__ = "0.1.0"

_EXPORTS: Final[dict[str, tuple[str, ...]]] = {
    "diagnostics": ("Diagnostic", "ParseError"),
    "expr": (
        "GuardAnd",
        "GuardCompare",
        "GuardExpression",
        "GuardFalse",
        "GuardNot",
        "GuardNullcheck",
        "GuardOr",
        "GuardTrue",
        "ValueRef",
        "VariableRef",
    ),
    "load": (
        "LoadResult",
        "load",
        "parse_document",
        "parse_orca",
        "parse_orca_auto",
        "parse_orca_md",
        "parse_orca_md_multi",
    ),
    "model": (
        "ActionSignature",
        "Document",
        "EffectDef",
        "GuardDef",
        "InvokeDef",
        "MachineDef",
        "ParallelDef",
        "RegionDef",
        "ReturnDef",
        "StateDef",
        "Transition",
    ),
    "tables": ("DecisionTableDef",),
}
"""The public names by the module that has them."""

_HOME: Final = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "ActionSignature",
    "DecisionTableDef",
    "Diagnostic",
    "Document",
    "EffectDef",
    "GuardAnd",
    "GuardCompare",
    "GuardDef",
    "GuardExpression",
    "GuardFalse",
    "GuardNot",
    "GuardNullcheck",
    "GuardOr",
    "GuardTrue",
    "InvokeDef",
    "LoadResult",
    "MachineDef",
    "ParallelDef",
    "ParseError",
    "RegionDef",
    "ReturnDef",
    "StateDef",
    "Transition",
    "ValueRef",
    "VariableRef",
    "load",
    "parse_document",
    "parse_orca",
    "parse_orca_auto",
    "parse_orca_md",
    "parse_orca_md_multi",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
