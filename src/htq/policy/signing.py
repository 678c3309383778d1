"""Signatures to Standard Webhooks 1.0.0: HMAC-SHA256 over the message's id, the time of sending and the body.

One signature for each secret goes along, so that a receiver that knows any of them can verify while they are rotated.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from htq.words.errors import ConfigError
from htq.words.task import Headers

__all__ = ["Signature", "signing_key"]

_PREFIX: Final = "whsec_"
_MIN_KEY: Final = 24
_MAX_KEY: Final = 64


def signing_key(secret: str) -> bytes:
    """The key in a secret like `whsec_<base64>`: 24 to 64 bytes. Raises `ConfigError`, which never shows the secret."""
    how = f"A webhook secret is {_PREFIX} and the base64 of {_MIN_KEY} to {_MAX_KEY} random bytes"
    if not secret.startswith(_PREFIX):
        raise ConfigError(f"{how}; this one doesn't begin so.")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{how}; this one is no base64.") from None
    if not _MIN_KEY <= len(key) <= _MAX_KEY:
        raise ConfigError(f"{how}; this one has {len(key)}.")
    return key


class Signature:
    """The signature of one message, whose body comes in pieces: it may be too large to be carried in memory."""

    def __init__(self, keys: Iterable[bytes], message_id: str, sent_at: int) -> None:
        """`sent_at` is in seconds since the epoch, of this very attempt: a receiver refuses what is five minutes old."""
        self._id = message_id
        self._sent_at = sent_at
        self._macs = [hmac.new(key, f"{message_id}.{sent_at}.".encode(), hashlib.sha256) for key in keys]

    def update(self, piece: bytes) -> None:
        """The next piece of the body."""
        for mac in self._macs:
            mac.update(piece)

    def headers(self) -> Headers:
        """The fields that go along: without any key there is nothing to verify, and no signature."""
        fields = [("webhook-id", self._id), ("webhook-timestamp", str(self._sent_at))]
        if self._macs:
            signatures = [f"v1,{base64.b64encode(mac.digest()).decode()}" for mac in self._macs]
            fields.append(("webhook-signature", " ".join(signatures)))
        return tuple(fields)
