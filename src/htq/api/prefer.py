"""The header `Prefer` (RFC 7240): what a caller would like. What is not understood is ignored, as the RFC says."""

import re
from typing import Final, NamedTuple

from htq.api.http import Header
from htq.words.errors import Malformed

__all__ = ["NO_PREFERENCES", "Preferences", "asked_wait", "parse_prefer", "whole_seconds"]

_WAIT: Final = re.compile(rb'wait\s*=\s*(?:"([0-9]+)"|([0-9]+))', re.IGNORECASE)
_ASYNC: Final = b"respond-async"


class Preferences(NamedTuple):
    """`wait` is in seconds and clamped; None: nothing was said."""

    wait: int | None
    respond_async: bool

    def applied(self) -> list[Header]:
        """`Preference-Applied`: what held."""
        said = []
        if self.respond_async:
            said.append(_ASYNC)
        if self.wait is not None:
            said.append(b"wait=%d" % self.wait)
        return [(b"preference-applied", b", ".join(said))] if said else []


NO_PREFERENCES: Final = Preferences(None, False)


def parse_prefer(headers: list[Header], max_wait: float) -> Preferences:
    """The preferences that are known here; of one that is given twice the first holds."""
    wait: int | None = None
    respond_async = False
    for name, value in headers:
        if name != b"prefer":
            continue
        for part in value.split(b","):
            preference = part.split(b";", 1)[0].strip()
            if preference.lower() == _ASYNC:
                respond_async = True
            elif wait is None:
                found = _WAIT.fullmatch(preference)
                if found is not None:
                    wait = whole_seconds((found[1] or found[2]).decode(), max_wait)
    if wait is None and not respond_async:
        return NO_PREFERENCES
    return Preferences(wait, respond_async)


def asked_wait(headers: list[Header], values: list[str] | None, max_wait: float) -> tuple[int | None, list[Header]]:
    """For how long a caller waits, by the parameter `wait` or else by `Prefer`; and what is said of that. None: nothing was said.

    Raises `Malformed` for a parameter that is no number.
    """
    wait: int | None = None
    if values is not None:
        text = values[0]
        if len(values) > 1 or not (text.isascii() and text.isdigit()):
            raise Malformed("wait is a number of whole seconds, given once, such as wait=10.")
        wait = whole_seconds(text, max_wait)
    prefer = parse_prefer(headers, max_wait)
    applied = prefer._replace(respond_async=False, wait=prefer.wait if wait is None else None).applied()
    return prefer.wait if wait is None else wait, applied


def whole_seconds(digits: str, most: float) -> int:
    """Clamped before it is read: a number of a thousand digits is no number to Python."""
    return int(most) if len(digits) > 9 else min(int(digits), int(most))
