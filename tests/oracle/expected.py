"""The oracle itself: what a cancel must come to, by `docs/design/cancellation.md` and nothing else.

Nothing here knows how htq does it: this is a table, a rule for each column, and the comparison with what was seen.
"""

from typing import Final, Literal, NamedTuple

from htq.words.attempt import Phase
from htq.words.task import DeleteState, Proof
from oracle.cells import OPEN, TOLD, UNSENT, Cell, Service

__all__ = ["GRACE", "Closing", "Expectation", "expected"]

GRACE: Final = 2.0
"""Seconds from the DELETE's first byte in which the request may end by itself."""

Closing = Literal["never opened", "before", "at once", "on the answer", "after the grace", "by itself"]
"""When the request's connection goes: `before` the cancel; `at once` by htq, since nobody is told; `on the answer` to the
DELETE; `after the grace`; or `by itself`, since the service ended the request within the grace."""


class Expectation(NamedTuple):
    """What must be seen. `deletes` counts those that arrive."""

    is_sent: bool
    deletes: int
    phase: Phase
    state: DeleteState
    code: int | None
    tries: int
    proof: Proof
    closing: Closing
    interrupted: bool
    """Whether htq ended what it had begun: the record says when."""


class _Answer(NamedTuple):
    """What a service's behavior comes to: `wait` tells whether the request keeps its grace."""

    state: DeleteState
    code: int | None
    wait: bool = False
    tries: int = 1
    ends: bool = False
    stopped: bool = False


_ANSWERS: Final[dict[Service, _Answer]] = {
    "stops": _Answer("confirmed", 204, ends=True, stopped=True),
    "ends": _Answer("confirmed", 204, ends=True),
    "ends_later": _Answer("accepted", 202, ends=True),
    "goes_on": _Answer("confirmed", 204, wait=True),
    "accepts": _Answer("accepted", 202, wait=True),
    "runs_again": _Answer("confirmed", 200, wait=True),
    "not_found": _Answer("gone", 404),
    "gone": _Answer("gone", 410),
    "not_allowed": _Answer("unsupported", 405),
    "not_implemented": _Answer("unsupported", 501),
    "unauthorized": _Answer("refused", 401),
    "forbidden": _Answer("refused", 403),
    "breaks": _Answer("failed", 500),
    "redirects": _Answer("failed", 307),
    "busy": _Answer("failed", 503, tries=3),
    "recovers": _Answer("confirmed", 204, wait=True, tries=2),
    "hangs": _Answer("failed", None, wait=True),
    "drops": _Answer("failed", None),
    "unreachable": _Answer("failed", None, tries=3),
    "one_at_a_time": _Answer("unsupported", 405, wait=True),
    "ten_at_once": _Answer("confirmed", 204, ends=True, stopped=True),
}


def expected(cell: Cell) -> Expectation:
    """What the contract says of a cell."""
    told = cell.delete and cell.moment in TOLD
    answer = _ANSWERS[cell.service] if told else None
    closing = _closing(cell, answer)
    return Expectation(
        is_sent=cell.moment not in UNSENT,
        deletes=0 if answer is None or cell.service == "unreachable" else answer.tries,
        phase=_phase(cell),
        state=answer.state if answer is not None else "none",
        code=answer.code if answer is not None else None,
        tries=answer.tries if answer is not None else 0,
        proof=_proof(cell, answer),
        closing=closing,
        interrupted=closing in ("at once", "on the answer", "after the grace")
        or cell.moment in ("claimed", "resolving", "connecting"),
    )


def _phase(cell: Cell) -> Phase:
    match cell.moment:
        case "scheduled" | "queued" | "loose":
            return "waiting"
        case "claimed":
            return "claimed"
        case "resolving" | "connecting":
            return "connecting"
        case "between_attempts" | "between_told":
            return "between_attempts"
        case "orphaned":
            return "unknown"
        case on_the_wire:
            return on_the_wire


def _proof(cell: Cell, answer: _Answer | None) -> Proof:
    if answer is None:
        return "none"
    if answer.stopped:
        return "header"
    return "ended" if answer.ends and cell.moment in OPEN else "none"


def _closing(cell: Cell, answer: _Answer | None) -> Closing:
    if cell.moment in UNSENT:
        return "never opened"
    if cell.moment not in OPEN:
        return "before"
    if answer is None:
        return "at once"
    if answer.ends:
        return "by itself"
    return "after the grace" if answer.wait else "on the answer"
