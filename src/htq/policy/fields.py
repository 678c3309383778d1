"""Header fields and methods: what a caller may set, and what an attempt and its DELETE carry.

Sources: RFC 9110 5.1, 5.5 and 5.6.2 (names, values, tokens), RFC 9112 6 (framing), `docs/design/cancellation.md` (the DELETE).
"""

import re
from collections.abc import Iterable, Mapping

from htq import __version__
from htq.words.errors import InvalidField
from htq.words.task import Headers, Request

__all__ = [
    "MAX_FIELDS",
    "MAX_FIELD_BYTES",
    "attempt_headers",
    "check_headers",
    "check_method",
    "describes_body",
    "is_credential",
    "is_reserved",
    "joined",
    "request_headers",
    "stop_headers",
]

MAX_FIELDS = 256
"""Header fields of a request."""

MAX_FIELD_BYTES = 64 * 1024
"""Bytes of all header fields of a request together, as they go over the wire."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MAX_METHOD = 32

_RESERVED = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive", "expect")
)
_RESERVED_PREFIXES = ("proxy-", "htq-", "webhook-")
_BODY_FIELDS = frozenset(("digest", "repr-digest", "expect", "range"))
_CREDENTIALS = frozenset(("authorization", "cookie", "webhook-signature"))
_CREDENTIAL_ENDINGS = ("-key", "-token", "-secret")
_AGENT = ("User-Agent", f"htq/{__version__}")


def check_method(method: str, pointer: str = "/method") -> str:
    """The method in the upper case that goes over the wire. Raises `InvalidField`."""
    if len(method) > _MAX_METHOD or not _TOKEN.fullmatch(method):
        raise InvalidField("A method is a single word like GET or POST, with no spaces in it.", pointer)
    upper = method.upper()
    if upper in ("CONNECT", "TRACE"):
        raise InvalidField(f"{upper} can't be sent: it addresses the path to the target, not the target.", pointer)
    return upper


def request_headers(given: Mapping[str, str], pointer: str = "/headers") -> Headers:
    """A caller's header object as fields. Names that differ in case only become one field, its values joined in order."""
    return tuple(joined(check_headers(given.items(), pointer)).items())


def check_headers(given: Iterable[tuple[str, str]], pointer: str = "/headers") -> Headers:
    """Fields as they are, order, case and duplicates kept. Raises `InvalidField` that points to the first bad one."""
    fields = tuple(given)
    if len(fields) > MAX_FIELDS:
        raise InvalidField(f"There are {len(fields)} header fields; at most {MAX_FIELDS} are sent.", pointer)
    size = 0
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise InvalidField("A header's name is made of letters, digits and hyphens.", _child(pointer, name))
        if is_reserved(name):
            raise InvalidField(
                f"{name} can't be set: framing, hop-by-hop, HTQ-* and Webhook-* headers are the sender's own.",
                _child(pointer, name),
            )
        if not _VALUE.fullmatch(value):
            raise InvalidField(
                f"The value of {name} holds a line break, a control character or one beyond latin-1.",
                _child(pointer, name),
            )
        size += len(name) + len(value) + 4
    if size > MAX_FIELD_BYTES:
        raise InvalidField(f"The headers have {size} bytes; at most {MAX_FIELD_BYTES} are sent.", pointer)
    return fields


def joined(headers: Headers) -> dict[str, str]:
    """One value a name, under the spelling that came first; duplicates joined (RFC 9110, 5.3; cookies RFC 6265, 5.4)."""
    fields: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for name, value in headers:
        first = spelling.setdefault(name.lower(), name)
        if first in fields:
            fields[first] += ("; " if first.lower() == "cookie" else ", ") + value
        else:
            fields[first] = value
    return fields


def is_reserved(name: str) -> bool:
    """Whether only the sender may set the field. `Transfer_Encoding` counts as well: CGI and WSGI read it as the other."""
    plain = name.lower().replace("_", "-")
    return plain in _RESERVED or plain.startswith(_RESERVED_PREFIXES)


def is_credential(name: str) -> bool:
    """Whether the field proves who is calling, and so must not be handed to another origin."""
    plain = name.lower()
    if plain == "idempotency-key":
        return False
    return plain in _CREDENTIALS or plain.startswith("proxy-") or plain.endswith(_CREDENTIAL_ENDINGS)


def describes_body(name: str) -> bool:
    """Whether the field says something about a body or a part of one, and is wrong on a request that has none."""
    plain = name.lower()
    return plain in _BODY_FIELDS or plain.startswith(("content-", "if-"))


def attempt_headers(request: Request, uuid: str, attempt: int) -> Headers:
    """What an attempt carries: the caller's fields, which attempt it is, and defaults for what the caller left open."""
    fields = list(request.headers)
    names = {name.lower() for name, _ in fields}
    if request.body_kind == "json" and "content-type" not in names:
        fields.append(("Content-Type", "application/json"))
    if "user-agent" not in names:
        fields.append(_AGENT)
    if "accept-encoding" not in names:
        fields.append(("Accept-Encoding", "identity"))
    if "idempotency-key" not in names:
        fields.append(("Idempotency-Key", f'"{uuid}"'))
    fields.append(("HTQ-Task-Id", uuid))
    fields.append(("HTQ-Attempt", str(attempt)))
    return tuple(fields)


def stop_headers(request: Request, uuid: str, attempt: int) -> Headers:
    """What the DELETE for an attempt carries.

    Without what describes a body that it does not have, and with a key of its own: a service that honors `Idempotency-Key`
    would replay the answer to the POST.
    """
    fields = [
        (name, value)
        for name, value in request.headers
        if not describes_body(name) and name.lower() not in ("accept-encoding", "idempotency-key")
    ]
    if not any(name.lower() == "user-agent" for name, _ in fields):
        fields.append(_AGENT)
    fields.append(("Idempotency-Key", f'"{uuid}:cancel"'))
    fields.append(("HTQ-Task-Id", uuid))
    fields.append(("HTQ-Attempt", str(attempt)))
    fields.append(("HTQ-Cancel", "requested"))
    return tuple(fields)


def _child(pointer: str, name: str) -> str:
    """The JSON pointer to a member (RFC 6901, 3)."""
    return pointer + "/" + name.replace("~", "~0").replace("/", "~1")
