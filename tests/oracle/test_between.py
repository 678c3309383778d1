"""After a timeout that the service is told of, the next attempt begins when it has been told: over every store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from htq.usecases import CancelWish, RetryWish, Submission
from oracle.cells import STORES, StoreKind
from oracle.rig import running_rig
from support.redis_server import RedisServer
from support.target import FakeTarget, answer, hold, in_turn

WITHIN = 30.0


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> StoreKind:
    store: StoreKind = request.param
    return store


@pytest.fixture
def redis_url(kind: StoreKind) -> Iterator[str]:
    if kind.startswith("sqlite"):
        yield ""
        return
    with RedisServer(appendonly=False) as server:
        yield server.url


async def test_the_next_attempt_waits_for_the_answer_to_the_delete(
    kind: StoreKind, redis_url: str, tmp_path: Path
) -> None:
    async with FakeTarget() as target, running_rig(kind, "between", tmp_path, redis_url) as rig:
        target.on("/work", in_turn(hold(), answer(200)), "POST")
        target.on("/work", hold(answer(204, b"")), "DELETE")
        rig.start_worker()
        submission = Submission(
            url=target.url("/work"),
            method="post",
            timeout=0.3,
            cancel=CancelWish(on_timeout=True),
            retry=RetryWish(backoff=[0.01]),
        )
        uuid = (await rig.service.submit(submission, base="")).uuid
        delete = await target.arrived("/work", "DELETE", within=WITHIN)
        for _ in range(3):
            # Whatever is due goes out in the meantime.
            plain = await rig.service.submit(Submission(url=rig.elsewhere.url("/plain"), delay=0.1), base="")
            assert await rig.service.result(plain.uuid, WITHIN) is not None
        answered_at = asyncio.get_running_loop().time()
        delete.release()
        result = await rig.service.result(uuid, WITHIN)
        assert result is not None
        assert result.status == "success"
        first, second = target.received("/work", "POST")
        assert (first.header("HTQ-Attempt"), second.header("HTQ-Attempt")) == ("1", "2")
        assert delete.header("HTQ-Attempt") == "1"
        assert second.arrived_at >= answered_at
