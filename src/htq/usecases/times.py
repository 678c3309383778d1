"""Points in time and durations as a caller writes them.

Every function takes the pointer to the field: it is what `InvalidField` points to, and what its sentence calls the field by.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from htq.policy.durations import parse_duration
from htq.words.errors import InvalidField

__all__ = ["MAX_AHEAD", "Times", "due_at", "moment", "plain", "seconds", "times"]

MAX_AHEAD: Final = 10 * 365 * 86400.0
"""Seconds from now that anything may be put off."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(?:([Zz])|([+-][0-9]{2}:[0-9]{2}))"
)
_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?"
)


class Times(NamedTuple):
    """When a task may begin, and until when. None: at once; at any time."""

    run_at: int | None
    start_by: int | None
    deadline: int | None


def times(
    run_at: int | None,
    start_by: int | str | None,
    deadline: int | str | None,
    now_ms: int,
    *,
    start_within: float | None = None,
    end_within: float | None = None,
) -> Times:
    """The times of a task that is due at `run_at`. Raises `InvalidField` where they can't be kept.

    `start_within` and `end_within` are a queue's: seconds from when the task is due, for one that doesn't say it itself.
    """
    due = now_ms if run_at is None else max(run_at, now_ms)
    return Times(
        run_at,
        _limit(start_by, now_ms, due, "/start_by", start_within),
        _limit(deadline, now_ms, due, "/deadline", end_within),
    )


def due_at(delay: float | str | None, run_at: int | str | None, now_ms: int) -> int | None:
    """Epoch milliseconds before which the task is not to be sent; None: at once. Raises `InvalidField`."""
    if delay is not None:
        if run_at is not None:
            raise InvalidField("Give delay or run_at, not both.", "/run_at")
        wait = seconds(delay, "/delay")
        return now_ms + round(wait * 1000) if wait else None
    if run_at is None:
        return None
    at = run_at if isinstance(run_at, int) else _milliseconds(run_at, "/run_at")
    _check_range(at, now_ms, "/run_at")
    return at


def moment(given: int | str, now_ms: int, pointer: str, *, latest: int | None = None) -> int:
    """Epoch milliseconds, from that, from an RFC 3339 time, or from text that is a duration from now. Raises `InvalidField`.

    `latest` None: ten years from now.
    """
    if isinstance(given, int):
        at = given
    else:
        wait = _duration(given)
        at = _milliseconds(given, pointer) if wait is None else now_ms + round(min(wait, 2 * MAX_AHEAD) * 1000)
    if latest is None or not 0 <= at <= latest:
        _check_range(at, now_ms, pointer)
    return at


def seconds(given: float | str, pointer: str, *, least: float = 0.0, most: float = MAX_AHEAD) -> float:
    """A duration in seconds, within both bounds. Raises `InvalidField`."""
    found = _duration(given) if isinstance(given, str) else given
    if found is None:
        raise InvalidField(f'{_name(pointer)} is not a duration: write 90, "90s", "1h30m" or "PT90S".', pointer)
    if not least <= found <= most:
        raise InvalidField(f"{_name(pointer)} must lie between {_words(least)} and {_words(most)}.", pointer)
    return found


def plain(number: float) -> float:
    """60, not 60.0: as it was given, and as the seed shows it."""
    whole = int(number)
    return whole if whole == number else number


def _limit(given: int | str | None, now_ms: int, due: int, pointer: str, within: float | None) -> int | None:
    if given is None:
        return None if within is None else due + round(within * 1000)
    at = moment(given, now_ms, pointer)
    if at <= now_ms:
        raise InvalidField(
            f'{_name(pointer)} lies in the past: a number is in epoch milliseconds; for so long from now write "10m".',
            pointer,
        )
    if at <= due:
        raise InvalidField(f"{_name(pointer)} lies before the time at which it is due: it could never begin.", pointer)
    return at


def _check_range(at: int, now_ms: int, pointer: str) -> None:
    if at < 0:
        raise InvalidField(f"{_name(pointer)} must not lie before 1970: it is in epoch milliseconds.", pointer)
    if at - now_ms > MAX_AHEAD * 1000:
        raise InvalidField(f"{_name(pointer)} lies more than ten years ahead: it is in epoch milliseconds.", pointer)


def _duration(text: str) -> float | None:
    """Seconds; None: it is not written like a duration."""
    if len(text) > 64:
        return None
    found = _ISO_DURATION.fullmatch(text)
    if found is not None:
        days, hours, minutes, rest = (float(part or 0) for part in found.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + rest
    try:
        return parse_duration(text)
    except ValueError:
        return None


def _milliseconds(text: str, pointer: str) -> int:
    found = _RFC3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        date, clock, fraction, zulu, offset = found.groups()
        at = datetime.fromisoformat(f"{date}T{clock}{(fraction or '')[:7]}{'+00:00' if zulu else offset}")
        return (at - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise InvalidField(
            f'{_name(pointer)} is not a time: write epoch milliseconds, or RFC 3339 such as "2030-01-31T12:00:00Z".',
            pointer,
        ) from None


def _name(pointer: str) -> str:
    return pointer[1:].replace("/", ".")


def _words(duration: float) -> str:
    for unit, size in (("years", 365 * 86400), ("days", 86400)):
        if duration >= size:
            return f"{duration / size:g} {unit}"
    return f"{duration:g} seconds" if duration else "0"
