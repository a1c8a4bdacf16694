"""Guards as JavaScript with the three-valued logic of the language, for the outputs that other engines run."""

from __future__ import annotations

import json
from typing import Final

from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
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

__all__ = ["PRELUDE", "javascript", "literal"]

PRELUDE: Final = r"""
var orca = (function () {
  var UNKNOWN = { unknown: true };
  function kind(v) {
    if (v === null || v === undefined) return "null";
    if (v === UNKNOWN) return "unknown";
    if (Array.isArray(v)) return "list";
    return typeof v === "object" ? "map" : typeof v;
  }
  function truth(v) {
    switch (kind(v)) {
      case "unknown": return v;
      case "null": return false;
      case "boolean": return v;
      case "number": return v !== 0;
      case "string": case "list": return v.length > 0;
      case "map": return Object.keys(v).length > 0;
      default: return true;
    }
  }
  function same(a, b) {
    var k = kind(a);
    if (k !== kind(b)) return false;
    if (k === "null") return true;
    if (k === "list") return a.length === b.length && a.every(function (x, i) { return same(x, b[i]); });
    if (k !== "map") return a === b;
    var names = Object.keys(a);
    return names.length === Object.keys(b).length && names.every(function (n) {
      return Object.prototype.hasOwnProperty.call(b, n) && same(a[n], b[n]);
    });
  }
  function order(compare) {
    return function (a, b) {
      var k = kind(a);
      return k === kind(b) && (k === "number" || k === "string") ? compare(a, b) : UNKNOWN;
    };
  }
  function reckon(operate) {
    return function (a, b) {
      if (typeof a !== "number" || typeof b !== "number") return UNKNOWN;
      var value = operate(a, b);
      return Number.isFinite(value) ? value : UNKNOWN;
    };
  }
  return {
    get: function (value, names) {
      for (var i = 0; i < names.length; i += 1) {
        if (kind(value) !== "map" || !Object.prototype.hasOwnProperty.call(value, names[i])) return null;
        value = value[names[i]];
      }
      return value === undefined ? null : value;
    },
    holds: function (v) { return truth(v) === true; },
    truth: truth,
    not: function (v) { v = truth(v); return v === UNKNOWN ? v : !v; },
    and: function () {
      var found = true;
      for (var i = 0; i < arguments.length; i += 1) {
        var v = truth(arguments[i]);
        if (v === false) return false;
        if (v === UNKNOWN) found = v;
      }
      return found;
    },
    or: function () {
      var found = false;
      for (var i = 0; i < arguments.length; i += 1) {
        var v = truth(arguments[i]);
        if (v === true) return true;
        if (v === UNKNOWN) found = v;
      }
      return found;
    },
    eq: function (a, b) { return a === UNKNOWN || b === UNKNOWN ? UNKNOWN : same(a, b); },
    ne: function (a, b) { return a === UNKNOWN || b === UNKNOWN ? UNKNOWN : !same(a, b); },
    lt: order(function (a, b) { return a < b; }),
    le: order(function (a, b) { return a <= b; }),
    gt: order(function (a, b) { return a > b; }),
    ge: order(function (a, b) { return a >= b; }),
    isIn: function (v, options) {
      return v === UNKNOWN ? v : options.some(function (option) { return same(v, option); });
    },
    isNull: function (v, wanted) { return v === UNKNOWN ? v : (kind(v) === "null") === wanted; },
    add: reckon(function (a, b) { return a + b; }),
    sub: reckon(function (a, b) { return a - b; }),
    mul: reckon(function (a, b) { return a * b; }),
    div: reckon(function (a, b) { return a / b; }),
    mod: reckon(function (a, b) { return ((a % b) + b) % b; }),
    neg: function (v) { return typeof v === "number" ? -v : UNKNOWN; }
  };
})();
""".strip()
"""Defines ``orca``, in the JavaScript of 2015, without reference to anything outside."""


def literal(value: object) -> str:
    """A JSON value as JavaScript that is also safe inside a script element."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def javascript(node: GuardExpression, context: str, payload: str) -> str:
    """An expression as a call of the functions in `PRELUDE`; its value may be *unknown*.

    Args:
        node: A resolved expression; recursion is bounded by the depth that guards may have.
        context: The JavaScript for the context.
        payload: The JavaScript for the payload of the event.
    """

    def text(part: GuardExpression) -> str:
        return javascript(part, context, payload)

    if isinstance(node, GuardAnd | GuardOr):
        name = "and" if isinstance(node, GuardAnd) else "or"
        return f"orca.{name}({', '.join(text(part) for part in node.operands)})"
    if isinstance(node, GuardCompare | Arithmetic):
        return f"orca.{node.op}({text(node.left)}, {text(node.right)})"
    if isinstance(node, GuardNot):
        return f"orca.not({text(node.expr)})"
    if isinstance(node, Negate):
        return f"orca.neg({text(node.expr)})"
    if isinstance(node, GuardIn):
        return f"orca.isIn({text(node.expr)}, {literal([option.value for option in node.options])})"
    if isinstance(node, GuardNullcheck):
        return f"orca.isNull({text(node.expr)}, {literal(node.is_null)})"
    if isinstance(node, GuardTrue | GuardFalse):
        return literal(isinstance(node, GuardTrue))
    if isinstance(node, ValueRef):
        return literal(node.value)
    if isinstance(node, GuardRef):
        return f"orca.truth(guards[{literal(node.name)}]({context}, {payload}))"
    assert isinstance(node, VariableRef)
    root = context if node.root == "ctx" else payload
    return f"orca.get({root}, {literal(list(node.path[1:]))})"
