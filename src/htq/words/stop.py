"""A stop: the DELETE that is owed to a target, and what came of it."""

from typing import Literal

import msgspec

__all__ = ["DeleteRecord", "DeleteState", "Proof"]

DeleteState = Literal["owed", "none", "confirmed", "accepted", "gone", "unsupported", "refused", "failed", "lapsed"]
"""`owed` until it is settled; then what the service made of the DELETE, or `none` where none had to be sent."""

Proof = Literal["header", "ended", "none"]


class DeleteRecord(msgspec.Struct, frozen=True):
    """The DELETE of a canceled attempt, as far as it is known."""

    state: DeleteState = "none"
    code: int | None = None
    tries: int = 0
    elapsed_ms: float | None = None
