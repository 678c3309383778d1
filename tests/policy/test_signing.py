"""Signatures that the reference library of Standard Webhooks verifies."""

import base64

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from htq.policy.signing import Signature, signing_key
from htq.words.clock import SystemClock
from htq.words.errors import ConfigError

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 64).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()

ID = "01a20a08-766b-7000-bc7b-c5d8b1b884e2"
BODY = '{"specversion": "1.0", "data": "ünïcödé"}'.encode()


def signed(*secrets: str, body: bytes = BODY, at: int | None = None) -> dict[str, str]:
    now = SystemClock().now_ms() // 1000
    signature = Signature([signing_key(secret) for secret in secrets], ID, now if at is None else at)
    for start in range(0, len(body), 7):
        signature.update(body[start : start + 7])
    return dict(signature.headers())


def test_a_receiver_with_the_secret_verifies_it() -> None:
    assert Webhook(NEW).verify(BODY, signed(NEW)) == {"specversion": "1.0", "data": "ünïcödé"}


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_secrets_are_rotated_a_receiver_with_either_verifies_it(secret: str) -> None:
    headers = signed(NEW, OLD)
    assert len(headers["webhook-signature"].split(" ")) == 2
    Webhook(secret).verify(BODY, headers)


def test_a_receiver_refuses_another_secret_another_body_and_another_time() -> None:
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(OTHER).verify(BODY, signed(NEW, OLD))
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(NEW).verify(BODY + b" ", signed(NEW))
    moved = signed(NEW)
    moved["webhook-timestamp"] = str(int(moved["webhook-timestamp"]) + 1)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(NEW).verify(BODY, moved)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(NEW).verify(BODY, signed(NEW, at=SystemClock().now_ms() // 1000 - 600))


def test_without_a_secret_there_is_an_id_and_a_time_and_no_signature() -> None:
    assert signed(at=7) == {"webhook-id": ID, "webhook-timestamp": "7"}


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!!!",
        "whsec_" + "A" * 31,
        base64.b64encode(b"o" * 24).decode(),
        "whsk_" + base64.b64encode(b"o" * 24).decode(),
        "whsec_" + base64.b64encode(b"s" * 23).decode(),
        "whsec_" + base64.b64encode(b"s" * 65).decode(),
        "whsec_é" + base64.b64encode(b"o" * 24).decode(),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigError) as raised:
        signing_key(secret)
    shown = secret.removeprefix("whsec_")
    assert not shown or shown not in str(raised.value)
