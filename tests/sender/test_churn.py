"""Many at once, and many that are canceled: everything is as before afterwards."""

import asyncio
import gc
import os

import psutil
import pytest

from htq.policy.egress import Egress
from htq.sender import Exchange, HttpSender
from htq.words.clock import SystemClock
from support.target import FakeTarget, hold, late
from support.wire import message

CANCELS = int(os.environ.get("HTQ_TEST_CHURN", "2000"))
"""20,000 for the long form."""

AT_ONCE = 50


@pytest.mark.parametrize("where", ["connecting", "sent"])
async def test_canceled_sends_leave_nothing_behind(sender: HttpSender, target: FakeTarget, where: str) -> None:
    target.on("/held", hold())
    process = psutil.Process()

    async def batch() -> None:
        """Sends that are canceled together: in the middle of connecting, or when the target has them all."""
        tasks = [asyncio.ensure_future(sender.send(message(target.url("/held")), Exchange())) for _ in range(AT_ONCE)]
        if where == "sent":
            await target.arrived(count=AT_ONCE, within=20)
        else:
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        await target.all_disconnected(within=20)
        if where == "sent":
            assert target.requests[-1].closed_by == "client"
        target.requests.clear()

    await batch()
    gc.collect()
    tasks, descriptors, memory = len(asyncio.all_tasks()), process.num_fds(), process.memory_info().rss
    for _ in range(CANCELS // AT_ONCE):
        await batch()
    target.requests.clear()
    gc.collect()
    assert len(asyncio.all_tasks()) <= tasks
    assert process.num_fds() <= descriptors + 2
    assert process.memory_info().rss - memory < 30 * 1024 * 1024
    # And the sender still works: no slot was lost.
    replies = await asyncio.gather(*[sender.send(message(target.url("/")), Exchange()) for _ in range(AT_ONCE)])
    assert [reply.code for reply in replies] == [200] * AT_ONCE


async def test_canceled_handshakes_leave_nothing_behind() -> None:
    async with FakeTarget(tls=True) as target:
        sender = HttpSender(clock=SystemClock(), egress=Egress(), tls=target.client_context)
        await sender.send(message(target.url()), Exchange())
        await target.requests[0].disconnected()
        descriptors = psutil.Process().num_fds()
        loop = asyncio.get_running_loop()
        for turns in range(60):
            tasks = [asyncio.ensure_future(sender.send(message(target.url()), Exchange())) for _ in range(5)]
            for _ in range(turns % 12):
                turn = loop.create_future()
                loop.call_soon(turn.set_result, None)
                await turn
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await sender.close()
        await target.all_disconnected()
        gc.collect()
        assert psutil.Process().num_fds() <= descriptors + 2


async def test_a_thousand_slow_requests_run_side_by_side(sender: HttpSender, target: FakeTarget) -> None:
    target.on("/slow", late(1.0))
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(20):
        replies = await asyncio.gather(
            *[sender.send(message(target.url("/slow"), total=20), Exchange()) for _ in range(1000)]
        )
    assert {reply.code for reply in replies} == {200}
    assert loop.time() - began < 5  # one after another they would take 1,000 s
