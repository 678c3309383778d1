"""Why: one closed list of words for why a task ended as it did, or why an exchange did."""

from typing import Final, Literal, get_args

__all__ = ["REASONS", "Reason"]

Reason = Literal[
    # of a task's life
    "expired",  # `start_by` passed before it could start
    "interrupted",  # its worker stopped or died with the request on the wire
    "deadline",  # its whole life was over
    "superseded",  # a newer task took its `id`
    "canceled",  # somebody asked for it to stop
    "internal",  # a defect of htq's own: the worker's log has its trace
    # of an exchange: the request never left
    "egress_denied",  # the address that would be dialled may not be
    "dns",  # the name did not resolve
    "connect",  # refused, unreachable, or not answered within `connect`
    "tls",  # the handshake or the certificate failed
    # of an exchange: the request left, at least in part
    "connection_reused",  # a kept connection turned out closed
    "first_byte",  # no byte of the answer within `first_byte`
    "idle",  # the answer stood still for longer than `idle`
    "total",  # the whole exchange took longer than `total`
    "reset",  # the target closed or reset the connection in the middle
    "protocol",  # what came back is not HTTP
    "too_large",  # the answer is larger than `max_response`
    "redirects",  # more redirects than the task asked to follow
]

REASONS: Final[frozenset[str]] = frozenset(get_args(Reason))
