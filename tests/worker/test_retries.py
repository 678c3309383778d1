"""Attempts that follow one another, and what their answers teach."""

import asyncio
import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from htq.stores.base import BODY_INLINE, CHUNK, BodyRef, Cancel, QueueSettings
from htq.words.errors import ConfigError
from htq.words.limits import LaneLimits, Rate
from htq.words.retry import RetryPolicy
from htq.words.task import StopPolicy
from htq.worker import WorkerSettings
from worker.world import World

RETRY = RetryPolicy(max=2, delays=(10,))
LATE = 2.0
"""Seconds that the clock of a world may move on beyond what somebody waits for."""


def seconds_since(world: World, begun: int) -> float:
    return (world.clock.now_ms() - begun) / 1000


async def test_two_failures_and_a_success_are_a_success(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503)
    failed_at = world.clock.now_ms()
    second = await world.next_request()
    assert second.header("HTQ-Attempt") == "2"
    assert 10 <= seconds_since(world, failed_at) < 10 + LATE
    second.reply(503)
    (await world.next_request()).reply(200, b"at last")
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt, task.failures) == ("success", None, 3, 2)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.code, response.body) == (200, b"at last")
    records = await world.store.attempts(uuid)
    assert [(each.attempt, each.code, each.reason) for each in records] == [
        (1, 503, "status"),
        (2, 503, "status"),
        (3, 200, None),
    ]
    assert records[0].message == "the target answered 503"


async def test_while_it_waits_for_the_next_attempt_it_is_scheduled(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.sender.requests.get()).fail("reset")
    begun = world.clock.now_ms()
    task = await world.waits_again(uuid)
    assert (task.state, task.failures, task.run_at) == ("scheduled", 1, begun + 10_000)


async def test_when_no_retry_is_left_the_last_answer_is_kept(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    (await world.next_request()).reply(500, b"first")
    (await world.next_request()).reply(502, b"last", (("X-A", "1"),))
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.failures) == ("error", "status", 1)
    (response,) = await world.store.responses([uuid])
    assert response is not None
    assert (response.code, response.body, response.headers) == (502, b"last", (("X-A", "1"),))
    assert response.message == "the target answered 502, and no retry is left"


async def test_a_task_that_times_out_each_time_ends_in_timeout(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    (await world.next_request()).fail("total")
    (await world.next_request()).fail("total")
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("timeout", "total", 2)


async def test_what_the_target_asks_for_is_waited_for(world: World) -> None:
    world.start()
    await world.enqueue(retry=RETRY)
    begun = world.clock.now_ms()
    (await world.next_request()).reply(503, b"", (("Retry-After", "30"),))
    await world.next_request()
    assert 30 <= seconds_since(world, begun) < 30 + LATE


async def test_no_attempt_begins_past_max_elapsed(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=9, delays=(10,), max_elapsed=15))
    (await world.next_request()).reply(503)
    (await world.next_request()).reply(503)
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "status", 2)


async def test_a_target_that_wants_no_other_attempt_gets_none(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503, b"", (("HTQ-Retry", "no"),))
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt) == ("error", "status", 1)


async def test_at_most_once_is_tried_again_only_where_no_byte_had_left(world: World) -> None:
    world.start()
    world.sender.hold_at = "connecting"
    uuid = await world.enqueue(retry=RETRY, delivery="at_most_once")
    (await world.next_request()).fail("connect", sent=False)
    sent = await world.next_request()
    sent.exchange.phase = "receiving"
    sent.reply(503)
    task = await world.settled(uuid)
    assert (task.state, task.reason, task.attempt, task.failures) == ("error", "status", 2, 1)


async def test_a_large_answer_that_is_not_the_last_leaves_nothing_behind(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503, b"x" * (2 * CHUNK))
    (await world.next_request()).reply(200, b"ok")
    assert (await world.settled(uuid)).state == "success"
    assert await world.store.read_body(BodyRef(uuid, 1, "response"), 0, 9) == []


async def test_a_large_answer_that_is_the_last_is_kept(world: World) -> None:
    world.start()
    body = b"x" * (2 * CHUNK)
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)))
    for _ in range(2):
        (await world.next_request()).reply(503, body)
    assert (await world.settled(uuid)).state == "error"
    assert b"".join(await world.store.read_body(BodyRef(uuid, 2, "response"), 0, 9)) == body
    assert await world.store.read_body(BodyRef(uuid, 1, "response"), 0, 9) == []


# --- stops -----------------------------------------------------------------------------------------------------------


async def test_after_a_timeout_the_next_attempt_waits_until_the_target_was_told(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RetryPolicy(max=1, delays=(1,)), stop=StopPolicy(on_timeout=True))
    (await world.next_request()).fail("total")
    delete = await world.sender.deletes.get()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    world.clock.advance(5)
    await world.store.promote(9)
    assert (await world.task(uuid)).state == "scheduled"
    assert world.sender.requests.empty()
    delete.reply(204)
    again = await world.next_request()
    assert again.header("HTQ-Attempt") == "2"
    again.reply()
    assert (await world.settled(uuid)).state == "success"
    first, _ = await world.store.attempts(uuid)
    assert first.delete is not None
    assert first.delete.state == "confirmed"


async def test_a_cancel_between_two_attempts_tells_nobody(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY)
    (await world.next_request()).reply(503)
    await world.waits_again(uuid)
    await world.store.cancel([Cancel(uuid)])
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "none")
    world.clock.advance(20)
    await world.store.promote(9)
    assert world.sender.requests.empty()


async def test_a_cancel_between_two_attempts_tells_the_target_where_the_task_says_so(world: World) -> None:
    world.start()
    uuid = await world.enqueue(retry=RETRY, stop=StopPolicy(between=True))
    (await world.next_request()).reply(503)
    await world.waits_again(uuid)
    await world.store.cancel([Cancel(uuid)])
    delete = await world.next_delete()
    assert (delete.header("HTQ-Task-Id"), delete.header("HTQ-Attempt")) == (uuid, "1")
    delete.reply(204)
    cancel = (await world.settled(uuid)).cancel
    assert cancel is not None
    assert (cancel.phase, cancel.delete.state) == ("between_attempts", "confirmed")


# --- what is learned -------------------------------------------------------------------------------------------------


async def test_a_hold_burns_no_attempt_of_the_others_in_the_lane(world: World) -> None:
    world.start(WorkerSettings(threads=1))
    first = await world.enqueue()
    second = await world.enqueue(retry=RETRY)
    begun = world.clock.now_ms()
    (await world.sender.requests.get()).reply(429, b"", (("Retry-After", "60"),))
    assert (await world.settled(first)).state == "success"
    elsewhere = await world.enqueue(key="another lane")
    async with asyncio.timeout(10):
        other = await world.sender.requests.get()
    assert other.header("HTQ-Task-Id") == elsewhere
    other.reply()
    sent = await world.next_request()
    assert 60 <= seconds_since(world, begun) < 60 + LATE
    assert (sent.header("HTQ-Task-Id"), sent.header("HTQ-Attempt")) == (second, "1")


COUNTED = QueueSettings(per_key=LaneLimits(rate=(Rate(100, 60, 100, "tokens"),)))
"""100 tokens a minute: one every 0.6 s."""


@pytest.mark.parametrize(
    ("cost_from", "body", "headers"),
    [
        ({"tokens": "X-Tokens"}, b"", (("X-Tokens", "100"),)),
        ({"tokens": "/usage/total"}, b'{"usage": {"total": 100}}', ()),
        ({"tokens": "/usage/total"}, b'{"text": "' + b"x" * CHUNK + b'", "usage": {"total": 100}}', ()),
    ],
    ids=["header", "pointer", "large"],
)
async def test_what_a_task_has_really_cost_is_charged(
    world: World, cost_from: dict[str, str], body: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    await world.store.put_queue("default", COUNTED)
    world.start(WorkerSettings(threads=1))
    await world.enqueue(cost={"tokens": 10}, cost_from=cost_from)
    await world.enqueue(cost={"tokens": 50})
    begun = world.clock.now_ms()
    (await world.sender.requests.get()).reply(200, body, headers)
    await world.next_request()
    assert 30 <= seconds_since(world, begun) < 30 + LATE


async def test_what_a_task_has_cost_less_is_given_back(world: World) -> None:
    await world.store.put_queue("default", COUNTED)
    world.start()
    await world.enqueue(cost={"tokens": 100}, cost_from={"tokens": "X-Tokens"})
    await world.enqueue(cost={"tokens": 50})
    (await world.sender.requests.get()).reply(200, b"", (("X-Tokens", "10"),))
    async with asyncio.timeout(10):
        await world.sender.requests.get()


# --- signatures ------------------------------------------------------------------------------------------------------

OLD, NEW = ("whsec_" + base64.b64encode(key * 32).decode() for key in (b"o", b"n"))


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{"a": "' + b"x" * BODY_INLINE + b'"}'], ids=["small", "large"])
async def test_each_attempt_is_signed_anew_with_every_secret(world: World, body: bytes) -> None:
    world.start(WorkerSettings(webhook_secrets=(NEW, OLD)))
    uuid = await world.enqueue(body=body, signed=True, retry=RETRY)
    stamps = []
    for _ in range(2):
        sent = await world.next_request()
        stamps.append(sent.header("webhook-timestamp") or "")
        sent_at = datetime.fromtimestamp(int(stamps[-1]), UTC)
        expected = [Webhook(secret).sign(uuid, sent_at, body.decode()) for secret in (NEW, OLD)]
        assert sent.header("webhook-id") == uuid
        assert (sent.header("webhook-signature") or "").split(" ") == expected
        sent.reply(503)
    assert int(stamps[1]) - int(stamps[0]) >= 10


async def test_without_a_secret_a_callback_has_no_signature(world: World) -> None:
    world.start()
    uuid = await world.enqueue(signed=True)
    sent = await world.sender.requests.get()
    assert sent.header("webhook-id") == uuid
    assert sent.header("webhook-timestamp") == str(world.clock.now_ms() // 1000)
    assert sent.header("webhook-signature") is None


async def test_nothing_else_is_signed(world: World) -> None:
    world.start(WorkerSettings(webhook_secrets=(NEW,)))
    await world.enqueue()
    sent = await world.sender.requests.get()
    assert not [name for name, _ in sent.message.headers if name.lower().startswith("webhook-")]


async def test_a_worker_does_not_start_with_a_secret_that_is_none(world: World) -> None:
    with pytest.raises(ConfigError):
        world.start(WorkerSettings(webhook_secrets=("whsec_x",)))
