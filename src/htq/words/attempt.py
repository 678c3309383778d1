"""An attempt: one exchange on the wire, from the claim to its outcome."""

from typing import Literal, get_args

import msgspec

from htq.words.reasons import Reason
from htq.words.stop import DeleteRecord

__all__ = ["PHASES", "UNSENT_PHASES", "AttemptRecord", "ClosedBy", "Phase"]

Phase = Literal[
    "waiting",
    "claimed",
    "connecting",
    "sending",
    "sent",
    "receiving",
    "between_attempts",
    "finished",
    "unknown",
]
"""Where a task stood on its way over the wire. `connecting` includes resolving the name and the TLS handshake.
`unknown`: its worker died, which counts as sent."""

PHASES: tuple[Phase, ...] = get_args(Phase)
UNSENT_PHASES: frozenset[Phase] = frozenset({"waiting", "claimed", "connecting"})
"""No byte of the request has left in these: the target can't know of it, and is owed no DELETE."""

ClosedBy = Literal["htq", "target"]


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One attempt, as it is kept for people to look at."""

    attempt: int
    session: str
    claimed_at: int
    ended_at: int | None = None
    """None while it is under way, or where its worker died."""
    phase: Phase = "claimed"
    """The last one reached."""
    reason: Reason | None = None
    message: str | None = None
    code: int | None = None
    remote: str | None = None
    """The address and port that were dialled."""
    reused: bool = False
    """Whether it went over a kept connection."""
    bytes_sent: int = 0
    bytes_received: int = 0
    timings_ms: dict[str, float] = {}
    """Milliseconds spent in `dns`, `connect`, `tls`, `send`, `first_byte`, `transfer`."""
    delete: DeleteRecord | None = None
    """What came of the DELETE that followed it; None where none was owed. A store fills it in when it is asked."""
    closed_by: ClosedBy | None = None
    """Who closed the connection; None where it was kept."""
