"""An Orchestra task that drives a state machine: each state is progress, its last one decides how the task ends."""

from __future__ import annotations

import asyncio

from orca.statemachine import OrcaMachine, StateValue, parse_orca
from orchestra.sdk import OrchestraSDK
from orchestra.sdk.testing import WebhookServer

RUN = "11111111-2222-4333-8444-555555555555"
SOURCE = """
machine Import

context {
    rows: 0
    bad: 0
}

state reading [initial]
state checking
state done [final]
state doubtful [final]

transitions {
    reading + READ -> checking : count
    checking + CHECK [bad > 0] -> doubtful
    checking + CHECK -> done
}
"""


async def run_machine(orchestra: OrchestraSDK, rows: list[int | None]) -> OrcaMachine:
    """Import some rows; every transition is a message of the task."""

    def tell(old: StateValue, new: StateValue) -> None:
        orchestra.update_task(message=f"{old} -> {new}")

    machine = OrcaMachine(parse_orca(SOURCE), on_transition=tell)
    machine.register_action("count", lambda: {"rows": len(rows), "bad": rows.count(None)})
    async with machine:
        await machine.send("READ")
        await machine.send("CHECK")
    return machine


def main() -> None:
    """Run the task against a local stand-in for the platform."""
    with WebhookServer() as server:
        orchestra = OrchestraSDK("your_api_key", webhook_url=server.url, task_run_id=RUN, spool="outbox")
        with orchestra.task("import") as task:
            machine = asyncio.run(run_machine(orchestra, [1, None, 3]))
            task.output("rows", machine.context["rows"])
            if machine.matches("doubtful"):
                task.warn(f"{machine.context['bad']} row without a value")
        orchestra.close()
        run = server.run(RUN)
        print(f"the machine ended in {machine.state}")
        print(f"the task ended as {run.status}, outputs {run.outputs}")
        print(*run.messages, sep="\n")


if __name__ == "__main__":
    main()
