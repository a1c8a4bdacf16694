import asyncio
import logging

import anyio
import pytest

from orchestra.sdk import AsyncOrchestraSDK, Budgets, TaskCancelledError

KEY = "key-of-the-suite-0123456789"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def options(server, run_id, tmp_path):
    return {
        "api_key": KEY,
        "webhook_url": server.url,
        "task_run_id": run_id,
        "spool": tmp_path / "spool",
        "budgets": Budgets(accept_s=30.0, direct_s=30.0, terminal_s=60.0),
    }


@pytest.mark.anyio
async def test_methods_and_blocks(options, server, run_id):
    async with AsyncOrchestraSDK(**options) as sdk:
        async with sdk.task("load") as task:
            assert task.is_configured
            assert str(task.id) == run_id
            assert task.name == "load"
            assert await task.output("rows", 3)
            assert await task.message("half way")
            task.progress(0.5, "rows")
            assert await sdk.set_output("more", [1])
            assert await sdk.send_log("a.log", "text")
            task.warn("3 rows skipped")
            assert not task.cancel_requested
            task.raise_if_cancelled()
        assert await sdk.send_sensor_event("file", {"path": "x"})
        assert await sdk.flush(60)
    view = server.run(run_id)
    assert view.status == "WARNING"
    assert view.outputs == {"rows": 3, "more": [1]}
    assert view.logs == {"a.log": "text"}
    assert view.messages[-1] == "3 rows skipped"
    assert view.late == []
    assert server.events[-1]["event_type"] == "SENSOR_EVENT"
    assert server.problems == []


@pytest.mark.anyio
async def test_cancelled_code_is_reported_cancelled(options, server, run_id):
    sdk = AsyncOrchestraSDK(**options)
    inside = anyio.Event()

    @sdk.run
    async def job():
        inside.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(job)
        await inside.wait()
        group.cancel_scope.cancel()
    server.wait_for(lambda s: s.run(run_id).status == "CANCELLED")
    await sdk.aclose()


@pytest.mark.anyio
async def test_functions_generators_and_unconfigured_calls(options, server, run_id):
    sdk = AsyncOrchestraSDK(**options)

    @sdk.run()
    async def numbers():
        sent = yield 1
        assert sent == "x"
        try:
            yield 2
        except KeyError:
            yield 3

    generator = numbers()
    assert await generator.__anext__() == 1
    assert await generator.asend("x") == 2
    assert await generator.athrow(KeyError("y")) == 3
    with pytest.raises(StopAsyncIteration):
        await generator.__anext__()
    assert server.run(run_id).statuses == ["RUNNING", "SUCCEEDED"]
    closed = numbers()
    await closed.__anext__()
    await closed.aclose()
    server.wait_for(lambda s: [e.get("status") for e in s.events][-1] == "CANCELLED")
    await sdk.aclose()
    nothing = AsyncOrchestraSDK(quiet=True)
    assert not await nothing.update_task("success")


def test_a_receiver_that_is_down_leaves_the_loop_free(options, server, run_id):
    server.stop()
    sdk = AsyncOrchestraSDK(**options, reraise=False)

    @sdk.run
    async def job():
        raise ValueError("x")

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while ticks < 10:
                await asyncio.sleep(0.01)
                ticks += 1
            server.start()

        assert await sdk.update_task(message="accepted all the same")
        ticker = asyncio.create_task(tick())
        assert await job() is None
        assert ticker.done()  # nobody else starts the receiver, and the end is waited for until it is up
        await ticker

    asyncio.run(main())
    assert server.run(run_id).statuses == ["RUNNING", "FAILED"]
    sdk.close()


def test_without_a_disk_true_means_acknowledged(options, server, run_id):
    options |= {"spool": "memory", "budgets": Budgets(direct_s=30.0)}

    async def main():
        async with AsyncOrchestraSDK(**options) as sdk:
            assert await sdk.update_task(message="sent")
            server.stop()
            sdk._reporter.courier.budgets = Budgets(direct_s=0.1)
            sdk._reporter.options._budgets = Budgets(direct_s=0.1)
            assert not await sdk.update_task(message="lost")

    asyncio.run(main())
    assert server.run(run_id).messages == ["sent"]


def test_a_task_that_was_asked_to_stop_ends_cancelled(options, server, run_id, caplog):
    caplog.set_level(logging.DEBUG)

    async def main():
        async with AsyncOrchestraSDK(**options) as sdk, sdk.task("job") as task:
            task._run.cancel_requested.set()
            task.raise_if_cancelled()

    with pytest.raises(TaskCancelledError):
        asyncio.run(main())
    assert server.run(run_id).status == "CANCELLED"
    assert "asked this task run to stop" in server.run(run_id).messages[-1]
