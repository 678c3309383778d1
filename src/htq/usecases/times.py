"""Points in time and durations as a caller writes them in a task."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from htq.policy.durations import parse_duration
from htq.words.errors import InvalidField

__all__ = ["MAX_AHEAD", "due_at"]

MAX_AHEAD: Final = 10 * 365 * 86400.0
"""Seconds from now that a task may be put off."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(?:([Zz])|([+-][0-9]{2}:[0-9]{2}))"
)
_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?"
)


def due_at(delay: float | str | None, run_at: int | str | None, now_ms: int) -> int | None:
    """Epoch milliseconds before which the task is not to be sent; None: at once. Raises `InvalidField`."""
    if delay is not None:
        if run_at is not None:
            raise InvalidField("Give delay or run_at, not both.", "/run_at")
        seconds = _seconds(delay)
        if not 0 <= seconds <= MAX_AHEAD:
            raise InvalidField("delay must lie between 0 and ten years.", "/delay")
        return now_ms + round(seconds * 1000) if seconds else None
    if run_at is None:
        return None
    at = run_at if isinstance(run_at, int) else _milliseconds(run_at)
    if at < 0:
        raise InvalidField("run_at must not lie before 1970: it is in epoch milliseconds.", "/run_at")
    if at - now_ms > MAX_AHEAD * 1000:
        raise InvalidField("run_at lies more than ten years ahead: it is in epoch milliseconds.", "/run_at")
    return at


def _seconds(delay: float | str) -> float:
    if not isinstance(delay, str):
        return delay
    if len(delay) <= 64:
        found = _ISO_DURATION.fullmatch(delay)
        if found is not None:
            days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
            return days * 86400 + hours * 3600 + minutes * 60 + seconds
        try:
            return parse_duration(delay)
        except ValueError:
            pass
    raise InvalidField('delay is not a duration: write 90, "90s", "1h30m" or "PT90S".', "/delay")


def _milliseconds(text: str) -> int:
    found = _RFC3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        date, clock, fraction, zulu, offset = found.groups()
        at = datetime.fromisoformat(f"{date}T{clock}{(fraction or '')[:7]}{'+00:00' if zulu else offset}")
        return (at - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise InvalidField(
            'run_at is not a time: write epoch milliseconds, or RFC 3339 such as "2030-01-31T12:00:00Z".', "/run_at"
        ) from None
