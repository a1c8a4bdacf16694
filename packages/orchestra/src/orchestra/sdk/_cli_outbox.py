"""``orchestra outbox``: what is undelivered and why, flush, dead letters, retry."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orca.common.clock import SystemClock
from orca.common.errors import UsageError
from orca.common.terminal import print_json, wants_json
from orchestra.sdk._redact import Redactor
from orchestra.sdk._spool import Spool, default_spool_dir, key_fingerprint
from orchestra.sdk.errors import MissingEnvironmentKeysError

if TYPE_CHECKING:
    import argparse

__all__ = ["outbox", "parse_time_s"]

SHOWN_MAX = 200
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def parse_time_s(text: str) -> float:
    """Seconds of a text such as ``60s``, ``5m`` or ``250ms``.

    Raises:
        UsageError: It has another form.

    Example:
        >>> parse_time_s("5m")
        300.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no length of time", hint="write 60s, 5m or 250ms")
    return float(match[1]) * _UNITS[match[2]]


def outbox(options: argparse.Namespace) -> int:
    """Run the command."""
    folder = Path(options.spool) if options.spool else default_spool_dir()
    if not (folder / "outbox.db").exists() and options.action != "flush":
        _say([], {"undelivered": [], "dead": [], "dropped": {}}, f"nothing: there is no outbox in {folder}")
        return 0
    spool = Spool(folder)
    try:
        if options.action == "show":
            return _show(spool)
        if options.action == "dead":
            return _dead(spool)
        if options.action == "retry":
            count = spool.revive(now_s=time.time())
            _say(
                [],
                {"revived": count},
                f"{count} events are in the line again; deliver: orchestra outbox flush",
            )
            return 0
        return _flush(spool, parse_time_s(options.wait))
    finally:
        spool.close()


def _say(lines: list[str], value: Any, otherwise: str) -> None:
    if wants_json():
        print_json(value)
    else:
        sys.stdout.write("\n".join(lines or [otherwise]) + "\n")


def _show(spool: Spool) -> int:
    rows = spool.rows(limit=SHOWN_MAX)
    count, size_bytes = spool.counts()
    dead = spool.dead_letters()
    dropped = spool.dropped()
    now_s = time.time()
    value = {
        "undelivered": [
            {
                "id": row.id, "task_run_id": row.run, "kind": row.kind.name, "age_s": round(now_s - row.created_s, 1),
                "attempts": row.attempts, "error": row.error, "webhook_url": row.url, "event": _event(row.body),
            }
            for row in rows
        ],
        "undelivered_count": count, "size_bytes": size_bytes, "dead_count": len(dead), "dropped": dropped,
    }  # fmt: skip
    lines = [f"{count} undelivered, {size_bytes:,} bytes, in {spool.path}"] if count else []
    for row in rows:
        why = row.error or "not tried yet"
        lines.append(
            f"  {row.run}  {_title(row.body)}  {_age(now_s - row.created_s)} old, {row.attempts} attempts: {why}"
        )
    if count > len(rows):
        lines.append(f"  ... and {count - len(rows)} more")
    if count:
        lines.append("deliver now: orchestra outbox flush")
    if dead:
        lines.append(f"{len(dead)} dead letters, refused for good: orchestra outbox dead")
    if dropped:
        told = ", ".join(f"{n} {kind.lower()}" for kind, n in dropped.items())
        lines.append(f"dropped because the outbox was full or they were too old: {told}")
    _say(lines, value, "nothing is undelivered")
    return 0


def _dead(spool: Spool) -> int:
    letters = spool.dead_letters()
    value = [
        {
            "id": letter.id, "task_run_id": letter.run, "kind": letter.kind.name, "reason": letter.reason,
            "died_s": letter.died_s, "webhook_url": letter.url, "event": _event(letter.body),
        }
        for letter in letters
    ]  # fmt: skip
    lines = [f"{letter.run}  {_title(letter.body)}  {letter.reason}" for letter in letters]
    _say([*lines, "try them again: orchestra outbox retry"] if lines else [], value, "no dead letters")
    return 0


def _flush(spool: Spool, wait_s: float) -> int:
    import random  # noqa: PLC0415

    from orchestra.sdk._sender import Sender  # noqa: PLC0415

    key = os.environ.get("ORCHESTRA_API_KEY", "")
    if not key:
        raise MissingEnvironmentKeysError({"ORCHESTRA_API_KEY"})
    before, _ = spool.counts()
    sender = Sender(SystemClock(), redact=Redactor({key}).text, rng=random.Random())  # noqa: S311
    sender.add(spool)
    sender.learn(key_fingerprint(key), key)
    end_s = time.monotonic() + wait_s
    try:
        while True:
            delay_s = sender.step()
            left, _ = spool.counts()
            mine = len(spool.heads([key_fingerprint(key)]))
            now_s = time.monotonic()
            if not mine or now_s >= end_s:
                break
            time.sleep(min(delay_s, end_s - now_s, 1.0))
    finally:
        sender.abandon()
    value = {"delivered_or_refused": before - left, "undelivered": left, "dead": len(spool.dead_letters())}
    other = f", {left} wait" if left else ""
    if left and not mine:
        other = f", {left} wait for another API key"
    _say([f"{before - left} settled{other}"], value, "")
    return 1 if left else 0


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", event) if isinstance(event, dict) else {}


def _title(body: bytes) -> str:
    event = _event(body)
    what = (
        event.get("status") or event.get("output_name") or event.get("log_name") or event.get("message") or ""
    )
    return f"{event.get('event_type', '?')} {what}".strip()[:60]


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
