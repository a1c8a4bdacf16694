"""A state machine whose step emits a window, waits for the result of an algorithm, and goes on with it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import time
from pathlib import Path

from orca.processor import AsyncOrcaClient, Processor, Window
from orca.statemachine import Effect, EffectResult, OrcaMachine, parse_orca

ORCA = Path(sys.executable).parent / "orca"
SOURCE = """
machine Watch

context { peak: 0.0 }
state waiting [initial]
state judging { on_entry: measure }
state calm [final]
state alarm [final]

transitions {
    waiting + TICK -> judging
    judging + JUDGE [peak > 30] -> alarm
    judging + JUDGE -> calm
}
actions { measure: (ctx) -> Context + Effect<Measurement> }
"""


def orca(*arguments: str) -> str:
    """Run an ``orca`` command and return what it prints."""
    command = [str(ORCA), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def watch(address: str) -> None:
    """Register an algorithm, then let the machine ask for its result."""
    proc = Processor("sensors", core=address)

    @proc.algorithm("Peak", "1.0.0", "Minute", "1.0.0")
    def peak() -> float:
        return max(18.5, 33.25, 21.0)

    async def measure(effect: Effect) -> EffectResult:
        now = int(time.time())
        async with AsyncOrcaClient(address) as client:
            run = await client.wait(await client.emit(Window(now - 60, now, "Minute", "1.0.0", effect.type)))
        return EffectResult("success", {"peak": run.executions[0].value})

    machine = OrcaMachine(parse_orca(SOURCE))
    machine.register_effect("Measurement", measure)
    proc.register()
    async with machine:
        serving = asyncio.create_task(proc.serve(register=False))
        for event in ("TICK", "JUDGE"):
            await machine.send(event)
            print(f"{event} -> {machine.state}, peak {machine.context['peak']}")
        proc.stop()
        await serving


def main() -> None:
    """Start a core in this folder, watch, stop it."""
    orca("start", "--port", "0", "--web-port", "-1")
    try:
        address = next(word for word in orca("status").split() if word.startswith("grpc://"))
        with contextlib.redirect_stderr(io.StringIO()):  # the log lines of the processor
            asyncio.run(watch(address))
    finally:
        orca("stop")


if __name__ == "__main__":
    main()
