"""Inside a notebook: a real Jupyter kernel runs cells, is interrupted, and is killed in the middle of a run."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path
from uuid import uuid4

import pytest

import orca.common
import orchestra.sdk
from published import published_python

# With the oldest HTTP stack that this package allows, in an environment of their own.
JUPYTER = ("ipykernel==6.29.5", "nbclient==0.10.2", "httpx==0.27.2", "httpcore==1.0.5", "anyio==4.4.0")
DRIVER = """
import json, os, signal, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")
manager_is_up = True  # it ends with this program at the latest
for line in sys.stdin:
    said = json.loads(line)
    if said.get("interrupt"):
        manager.interrupt_kernel()
        client.get_shell_msg(timeout=60)  # the interrupted cell's reply
        continue
    if said.get("kill"):
        # Before it kills, the manager interrupts, and a kernel that is quick enough reports that.
        os.kill(manager.provisioner.pid, signal.SIGKILL)
        manager.shutdown_kernel(now=True)
        manager_is_up = False
        break
    outputs = []
    if said.get("start"):
        client.execute(said["cell"], stop_on_error=False)
        continue
    reply = client.execute_interactive(said["cell"], timeout=60, output_hook=outputs.append, stop_on_error=False)
    texts = [o["content"].get("text", "") for o in outputs if o["msg_type"] == "stream"]
    answer = {"status": reply["content"]["status"], "error": reply["content"].get("ename"), "text": "".join(texts)}
    print(json.dumps(answer), flush=True)
client.stop_channels()
if manager_is_up:
    manager.shutdown_kernel()
"""


@pytest.fixture
def notebook(environment, tmp_path):
    """Runs one cell after another in one kernel."""
    python = published_python(*JUPYTER)
    # Two folders below the package is where its distribution begins.
    places = [Path(orchestra.sdk.__file__).parents[2], Path(orca.common.__file__).parents[2]]
    env = {**environment, "PYTHONPATH": os.pathsep.join(map(str, places)), "JUPYTER_RUNTIME_DIR": str(tmp_path),
           "IPYTHONDIR": str(tmp_path / "ipython")}  # fmt: skip
    process = subprocess.Popen(
        [str(python), "-W", "ignore", "-c", DRIVER], env=env, cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    def tell(**said):
        process.stdin.write(json.dumps(said) + "\n")
        process.stdin.flush()

    def cell(source):
        tell(cell=source)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return json.loads(line)

    cell.tell = tell
    yield cell
    process.stdin.close()
    process.wait(60)
    process.stdout.close()
    process.stderr.close()


def test_cells_are_task_runs_however_they_end(notebook, server, run_id):
    second, third, fourth = (str(uuid4()) for _ in range(3))
    made = notebook("from orchestra.sdk import OrchestraSDK\nsdk = OrchestraSDK(capture=True)")
    assert made["status"] == "ok", made
    done = notebook(
        "@sdk.run\ndef load():\n    print('reading rows')\n    sdk.set_output('rows', 3)\n    return 3\nload()"
    )
    assert (done["status"], done["text"]) == ("ok", "reading rows\n")  # captured, and still shown
    view = server.run(run_id)
    assert view.statuses == ["RUNNING", "SUCCEEDED"]
    assert view.outputs == {"rows": 3}
    assert "reading rows" in next(iter(view.logs.values()))

    # The kernel's own event loop runs the cell: nothing may block or need a loop of its own.
    cell = """
        @sdk.run
        async def load_later():
            import asyncio
            await asyncio.sleep(0)
        await load_later()
    """
    assert notebook(f"sdk.task_run_id = {second!r}\n{textwrap.dedent(cell)}")["status"] == "ok"
    assert server.run(second).statuses == ["RUNNING", "SUCCEEDED"]

    failed = notebook(
        f"sdk.task_run_id = {third!r}\nwith sdk.task('check'):\n    raise ValueError('no rows')"
    )
    assert (failed["status"], failed["error"]) == ("error", "ValueError")
    assert server.run(third).statuses == ["RUNNING", "FAILED"]

    # The button that stops a cell, and the cell after it.
    source = f"import time\nsdk.task_run_id = {fourth!r}\nwith sdk.task('wait'):\n    time.sleep(60)"
    notebook.tell(cell=source, start=True)
    server.wait_for(lambda s: s.run(fourth).statuses == ["RUNNING"], timeout_s=60)
    notebook.tell(interrupt=True)
    server.wait_for(lambda s: s.run(fourth).statuses == ["RUNNING", "CANCELLED"], timeout_s=60)
    assert notebook("print(sdk.is_configured)")["text"] == "True\n"


def test_a_kernel_that_is_killed_is_reported(notebook, server, run_id):
    source = """
        import time
        from orchestra.sdk import OrchestraSDK
        with OrchestraSDK(supervise=True).task("wait"):
            time.sleep(60)
    """
    notebook.tell(cell=textwrap.dedent(source), start=True)
    server.wait_for(lambda s: "RUNNING" in s.run(run_id).statuses, timeout_s=60)
    notebook.tell(kill=True)
    server.wait_for(lambda s: s.run(run_id).status == "FAILED", timeout_s=60)
    # RUNNING may come twice: the kernel may have died between its answer and the note of it.
    assert set(server.run(run_id).statuses) == {"RUNNING", "FAILED"}
    assert "killed or crashed" in server.run(run_id).messages[-1]
