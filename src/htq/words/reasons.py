"""Why: one closed list of words for why a task ended as it did, or why an exchange did."""

from typing import Final, Literal

__all__ = ["REASONS", "Reason"]

Reason = Literal[
    "expired",
    "interrupted",
    "deadline",
    "superseded",
    "canceled",
    "internal",
    "egress_denied",
    "dns",
    "connect",
    "tls",
    "connection_reused",
    "first_byte",
    "idle",
    "total",
    "reset",
    "protocol",
    "too_large",
    "redirects",
    "status",
]

REASONS: Final[dict[Reason, str]] = {
    "expired": "it could not start before `start_by`",
    "interrupted": "its worker stopped or died with the request on the wire",
    "deadline": "it had not ended by its `deadline`",
    "superseded": "a newer request took its `id`",
    "canceled": "somebody asked for it to stop",
    "internal": "a defect of htq's own; the worker's log has its trace",
    "egress_denied": "the address that the name resolves to may not be dialled; nothing was sent",
    "dns": "the name did not resolve; nothing was sent",
    "connect": "refused, unreachable, or not answered within `connect`; nothing was sent",
    "tls": "the handshake or the certificate failed; nothing was sent",
    "connection_reused": "a kept connection turned out closed before any byte of an answer",
    "first_byte": "no byte of an answer within `first_byte`",
    "idle": "the answer stood still for longer than `idle`",
    "total": "the whole exchange took longer than `total`, or `timeout` given as a number",
    "reset": "the target closed or reset the connection in the middle",
    "protocol": "what came back is not HTTP",
    "too_large": "the answer is larger than `max_response`",
    "redirects": "more redirects than the request asked to follow",
    "status": "the answer's code is one that the retry policy takes for a failure",
}
"""What each word means; a test holds the two lists together."""
