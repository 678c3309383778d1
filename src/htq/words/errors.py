"""The one tree of errors. Each class is mapped to the wire once, in `htq.api.problems`.

HtqError
├── RequestError              the caller asked for something that can't be
│   ├── Malformed             400  not JSON, a broken query or header
│   ├── InvalidField          422  a field is missing, unknown or has a bad value: `pointer` says which
│   ├── KeyReused             422  an Idempotency-Key came before with another request
│   ├── BatchRefused          422  nothing of an atomic batch was taken: `items` says which ones can't be
│   ├── TooLarge              413
│   ├── UnsupportedMedia      415
│   ├── NotFound              404  no such task, response or page
│   ├── NotAllowed            405  `allow` says what is
│   ├── Conflict              409
│   ├── PreconditionFailed    412  it has changed since the caller looked
│   └── Overloaded            503  a bound of this server is reached: nothing was done; `retry_after` seconds
├── StoreError
│   ├── StoreUnavailable      503  away, frozen, full or too slow; `retry_after` seconds
│   └── StoreRefused               at start: a version or a setting that would lose work
├── SessionLost               a worker's lease is over: others may have its tasks
├── ConfigError               at start: an unknown key, a bad value
└── SendError                 an exchange failed; `reason` is a word of `htq.words.reasons`
"""

from collections.abc import Sequence

from htq.words.reasons import Reason

__all__ = [
    "BatchRefused",
    "ConfigError",
    "Conflict",
    "HtqError",
    "InvalidField",
    "KeyReused",
    "Malformed",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "PreconditionFailed",
    "RequestError",
    "SendError",
    "SessionLost",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "TooLarge",
    "UnsupportedMedia",
]


class HtqError(Exception):
    """Everything that htq raises on purpose. `str(error)` is a sentence that says what to do."""


class RequestError(HtqError):
    """The caller's mistake."""


class Malformed(RequestError):
    """What came can't be read at all."""


class InvalidField(RequestError):
    """A field can be read and can't be taken. `pointer` is a JSON pointer (RFC 6901) to it."""

    def __init__(self, detail: str, pointer: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class KeyReused(RequestError):
    """The same Idempotency-Key, and not the same request."""


class BatchRefused(RequestError):
    """Nothing of a batch was taken, since it was to be taken whole. `items` are the places of the bad ones, each with its error."""

    def __init__(self, detail: str, items: Sequence[tuple[int, RequestError]]) -> None:
        super().__init__(detail)
        self.items = items


class TooLarge(RequestError):
    """More bytes than the limit that the detail names."""


class UnsupportedMedia(RequestError):
    """A content type or coding that is not taken here."""


class NotFound(RequestError):
    """Nothing is there, or not any more."""


class NotAllowed(RequestError):
    """The resource is there and does not do this method."""

    def __init__(self, detail: str, allow: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allow = allow


class Conflict(RequestError):
    """The state of things does not admit what was asked. `uuid` is that of another task that stands in the way, if one does."""

    def __init__(self, detail: str, uuid: str | None = None) -> None:
        super().__init__(detail)
        self.uuid = uuid


class PreconditionFailed(RequestError):
    """What was asked was asked of an earlier version."""


class Overloaded(RequestError):
    """So many are waiting that no more are taken in. Nothing was done."""

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class StoreError(HtqError):
    """The store can't do its part."""


class StoreUnavailable(StoreError):
    """The store is away, frozen, full or too slow. Whether the step was taken is unknown: it may be repeated."""

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class StoreRefused(StoreError):
    """The store can be reached and must not be used as it is; the sentence says what to change."""


class SessionLost(HtqError):
    """The session's lease is over. Its tasks may be with others: abort what is on the wire, open a new session."""


class ConfigError(HtqError):
    """A setting is unknown or can't be taken; the sentence names it and where it came from."""


class SendError(HtqError):
    """An exchange ended without a complete answer.

    `sent` tells whether any byte of the request may have reached the target: a DELETE is owed only then.
    """

    def __init__(self, reason: Reason, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.sent = sent
