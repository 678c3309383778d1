"""Callbacks are signed when they are sent, and nothing else is."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from htq.stores.base import BODY_INLINE
from htq.words.errors import ConfigError
from htq.words.retry import RetryPolicy
from htq.worker import WorkerSettings
from worker.world import World

OLD, NEW = ("whsec_" + base64.b64encode(key * 32).decode() for key in (b"o", b"n"))


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{"a": "' + b"x" * BODY_INLINE + b'"}'], ids=["small", "large"])
async def test_each_attempt_is_signed_anew_with_every_secret(world: World, body: bytes) -> None:
    world.start(WorkerSettings(webhook_secrets=(NEW, OLD)))
    uuid = await world.enqueue(body=body, signed=True, retry=RetryPolicy(max=2, delays=(10,)))
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
