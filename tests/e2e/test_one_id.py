"""A storm of requests with one id, against a service that answers at once."""

import asyncio
import json
from urllib.request import urlopen

from e2e.system import System
from htq.client import AsyncClient, HtqClientError
from support.target import FakeTarget


async def test_a_storm_of_one_id_leaves_nothing_behind(system: System, target: FakeTarget) -> None:
    """Each newer request cancels the one before it, in whatever moment of its life that meets it."""
    _, client = await system.up("--threads", "200")
    tasks = await asyncio.gather(*(client.send(target.url("/"), "post", id="one") for _ in range(600)))
    async with asyncio.timeout(10):
        for task in tasks:
            try:
                response = await client.wait(task["uuid"], timeout=10)
            except HtqClientError as error:
                raise AssertionError(f"{task['uuid']} does not end") from error
            assert response == {} or response["status"] == "success"
        while await client.size() or await _pending(client):
            continue
    last = [received.header("HTQ-Task-Id") for received in target.received("/", "POST")]
    assert len(last) == len(set(last)), "nothing was sent twice"


async def _pending(client: AsyncClient) -> int:
    """Tasks that are on the wire: a canceled one is, until its session has finished it."""
    url = f"http://{client._address.authority}/queues/"
    body = await asyncio.to_thread(lambda: urlopen(url, timeout=5).read())
    return sum(queue["pending"] for queue in json.loads(body))
