"""The header `Idempotency-Key`: the same key with the same request is the same task (draft-ietf-httpapi-idempotency-key-header)."""

import re
from hashlib import blake2b
from typing import Final

from htq.api.http import Call, Header
from htq.words.errors import Malformed
from htq.words.task import Idempotency

__all__ = ["REPLAYED", "fingerprint", "idempotency"]

REPLAYED: Final[Header] = (b"idempotent-replayed", b"true")

_QUOTED: Final = re.compile(rb'"((?:[!#-\[\]-~]|\\["\\])+)"')
# As many clients send it. A comma would be two fields in one line.
_BARE: Final = re.compile(rb"[!#-+\--~]+")


def idempotency(call: Call, what: bytes, body: bytes) -> Idempotency | None:
    """The caller's key with the fingerprint of what it came with; None: there is none. Raises `Malformed`."""
    given = [value for name, value in call.headers if name == b"idempotency-key"]
    if not given:
        return None
    key = _key(given)
    if key is None:
        raise Malformed(
            'Idempotency-Key is one string of 1 to 255 visible characters, as in Idempotency-Key: "8e03978e".'
        )
    media = next((value for name, value in call.headers if name == b"content-type"), b"")
    mark = fingerprint(what, media.strip().lower(), body)
    return Idempotency(key, mark, call.service.settings.idempotency_window)


def fingerprint(*parts: bytes) -> bytes:
    """A digest of all that decides what is made."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


def _key(given: list[bytes]) -> str | None:
    """The string of a structured field (RFC 9651, 3.3.3), without what may follow it; None where it is broken."""
    if len(given) > 1:
        return None
    value = given[0].strip(b" \t")
    if value.startswith(b'"'):
        found = _QUOTED.fullmatch(value)
        key = re.sub(rb"\\(.)", rb"\1", found[1]) if found is not None else b""
    else:
        key = value if _BARE.fullmatch(value) else b""
    return key.decode("ascii") if 1 <= len(key) <= 255 else None
