"""What the clients raise.

HtqClientError
├── NotFound        no such request, or no response of it
├── Rejected        the server won't take what was asked; `status`, `detail`, and `pointer` to a bad field
├── NotYet          the time given to `wait` is over
└── Unavailable     no server, or one whose store is away; `retry_after` seconds where it said so
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["HtqClientError", "NotFound", "NotYet", "Rejected", "Unavailable"]


class HtqClientError(Exception):
    """Everything that the clients raise on purpose."""


class NotFound(HtqClientError):
    """The server knows no such request, or has no response of it any more."""


class Rejected(HtqClientError):
    """The server understood and said no: `status` is the code, `pointer` the JSON pointer of a bad field.

    `errors`: where several things are wrong, a problem for each of them.
    """

    def __init__(
        self, detail: str, status: int, pointer: str | None = None, errors: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.pointer = pointer
        self.errors = errors


class NotYet(HtqClientError, TimeoutError):
    """The request has not ended within the time that was given."""


class Unavailable(HtqClientError):
    """The server can't be reached or can't answer now. Whether a `send` was taken is unknown."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
