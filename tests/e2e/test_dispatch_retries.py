"""A request that will be tried again outlives every process."""

import asyncio
from typing import Any

from e2e.system import System, ask
from support.target import FakeTarget, answer, in_turn

HELD = 3
"""Seconds that the target asks for: enough for a server and a worker to start meanwhile."""


async def test_a_retried_request_and_its_held_lane_survive_worker_and_server(
    system: System, target: FakeTarget
) -> None:
    later = ("Retry-After", str(HELD))
    target.on("/flaky", in_turn(answer(503, headers=(later,)), answer(502), answer(500, b"the last")))
    (server, client), worker = await asyncio.gather(system.server(), system.worker())
    task = await client.send(target.url("/flaky"), retry={"max": 2, "backoff": [0.1]})
    held_until = await _held_until(await server.url())
    await asyncio.gather(worker.kill(), server.kill())

    (server, client), *_ = await asyncio.gather(system.server(), system.worker(), system.worker())
    other = await client.send(target.url("/other"))
    response = await client.wait(task["uuid"], timeout=20)
    assert (response["status"], response["code"], response["data"]) == ("error", 500, "the last")
    assert (await client.wait(other["uuid"], timeout=20))["status"] == "success"

    url = await server.url()
    attempts = await ask(url, "GET", f"/{task['uuid']}/attempts/")
    assert [(attempt["attempt"], attempt["code"]) for attempt in attempts] == [(1, 503), (2, 502), (3, 500)]
    assert attempts[0]["session"] not in {attempt["session"] for attempt in attempts[1:]}, attempts
    later_ones = [*attempts[1:], *await ask(url, "GET", f"/{other['uuid']}/attempts/")]
    assert min(attempt["claimed_at"] for attempt in later_ones) >= held_until, (held_until, later_ones)
    sent = [request.header("HTQ-Attempt") for request in target.received("/flaky")]
    assert sent == ["1", "2", "3"], "nothing was sent twice, and nothing beyond what the policy allows"


async def _held_until(url: str) -> int:
    """Until when the one lane is held, as soon as it is."""
    async with asyncio.timeout(10):
        while True:
            lanes: list[dict[str, Any]] = await ask(url, "GET", "/queues/default/keys/?held=1")
            for lane in lanes:
                assert lane["hold_reason"] == "unavailable", lane
                until: int = lane["held_until"]
                return until
