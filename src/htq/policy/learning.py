"""What an answer teaches about its target: when to call it again, and whether it is well.

Sources: `Retry-After` (RFC 9110, 10.2.3; 429 of RFC 6585), the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers in their
three forms (a list of policies; `limit=, remaining=, reset=`; three fields), and the `X-RateLimit-*` that they come from. What
can't be read says nothing. A time of day is counted from the target's own `Date`, if it says one: its clock may be wrong.
"""

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Final

from htq.policy.durations import parse_duration
from htq.words.limits import MAX_HOLD, Health, Hold, HoldReason
from htq.words.reasons import Reason
from htq.words.task import Headers

__all__ = ["MAX_RETRY_AFTER", "health", "hold", "retry_after"]

MAX_RETRY_AFTER: Final = 86400.0
"""Seconds for which a target may put its own task off, at most. What it says of the whole lane is bounded by `MAX_HOLD`."""

_MAX_VALUE: Final = 1024
"""Characters of a field that is looked into."""

_DECIMAL: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_EPOCH_SECONDS: Final = 1e9
"""From here on a number is a point in time, not a delay of thirty years."""
_EPOCH_MS: Final = 1e11

_HOLDS: Final[dict[int, HoldReason]] = {429: "rate_limited", 503: "unavailable"}
_UNWELL: Final[frozenset[Reason]] = frozenset(
    {"dns", "connect", "tls", "first_byte", "idle", "total", "reset", "protocol"}
)
_ANSWERED: Final[frozenset[Reason]] = frozenset({"too_large", "redirects"})


def retry_after(headers: Headers, now: int) -> float | None:
    """Seconds that the answer asks to wait for, a day at most; None if it doesn't say."""
    value = _first(headers, "retry-after")
    if value is None:
        return None
    seconds = _decimal(value)
    if seconds is None:
        at = _date(value)
        if at is None:
            return None
        seconds = at - _their_now(headers, now)
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def hold(code: int, headers: Headers, now: int) -> Hold | None:
    """Until when nothing more should be sent to the lane of this answer, an hour at most."""
    reason = _HOLDS.get(code)
    if reason is not None and (seconds := retry_after(headers, now)) is not None:
        return _until(seconds, reason, now)
    for name, _ in headers:
        if "limit" in name.lower():
            break
    else:  # as nearly every answer: it must cost nothing
        return None
    waits = list(_exhausted(headers, now))
    return _until(max(waits), "rate_limited" if code == 429 else "quota", now) if waits else None


def health(code: int | None, reason: Reason | None) -> Health | None:
    """Whether the target of an attempt is well; None if that can't be told from it."""
    if code is not None:
        return "bad" if code >= 500 else "good"
    if reason in _UNWELL:
        return "bad"
    return "good" if reason in _ANSWERED else None


def _until(seconds: float, reason: HoldReason, now: int) -> Hold | None:
    return Hold(now + round(min(seconds, MAX_HOLD) * 1000), reason) if seconds > 0 else None


def _exhausted(headers: Headers, now: int) -> Iterator[float]:
    """Seconds until each quota of which nothing is left is filled again."""
    plain: dict[str, str] = {}
    for given, value in headers:
        name = given.lower().removeprefix("x-").replace("rate-limit", "ratelimit", 1)
        if not name.startswith("ratelimit") or len(value) > _MAX_VALUE:
            continue
        if name == "ratelimit":
            for remaining, reset in _quotas(value):
                if _decimal(remaining) == 0 and (seconds := _decimal(reset)) is not None:
                    yield seconds
        else:
            plain.setdefault(name, value)
    # A suffix tells several quotas apart: `X-RateLimit-Remaining-Tokens`.
    for name, value in plain.items():
        if name.startswith("ratelimit-remaining") and _decimal(value) == 0:
            reset = plain.get("ratelimit-reset" + name.removeprefix("ratelimit-remaining"), "")
            if (wait := _delay(reset, headers, now)) is not None:
                yield wait


def _quotas(value: str) -> Iterator[tuple[str, str]]:
    """What is left and when there is more, of each policy in a `RateLimit` field: `"a";r=0;t=9` or `remaining=0, reset=9`."""
    members: dict[str, str] = {}
    for item in _QUOTED.sub("", value).split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in item.split(";"))
        if "r" in parameters:
            yield parameters["r"], parameters.get("t", "")
        members.update(parameters)
    if "remaining" in members:
        yield members["remaining"], members.get("reset", "")


def _delay(value: str, headers: Headers, now: int) -> float | None:
    """Seconds from now: given as such, as a duration (`6m0s`), or as a point in time in seconds or milliseconds."""
    seconds = _decimal(value)
    if seconds is None:
        try:
            return parse_duration(value)
        except ValueError:
            return None
    if seconds >= _EPOCH_MS:
        seconds /= 1000
    return seconds - _their_now(headers, now) if seconds >= _EPOCH_SECONDS else seconds


def _decimal(value: str) -> float | None:
    value = value.strip()
    return float(value) if _DECIMAL.fullmatch(value) else None


def _their_now(headers: Headers, now: int) -> float:
    """The target's time, in seconds since the epoch, as far as it is known."""
    date = _first(headers, "date")
    at = _date(date) if date is not None else None
    return now / 1000 if at is None else at


def _date(value: str) -> float | None:
    """An HTTP date (RFC 9110, 5.6.7) in seconds since the epoch."""
    from email.utils import parsedate_to_datetime

    if len(value) > 64:
        return None
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # Without a zone it is GMT: RFC 9110 allows no other.
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _first(headers: Headers, wanted: str) -> str | None:
    return next((value for name, value in headers if name.lower() == wanted), None)
