"""Where the answer says what a task has really cost: a JSON pointer (RFC 6901), or a header's name."""

import re
from collections.abc import Mapping
from typing import Final

from htq.words.errors import InvalidField

__all__ = ["check_cost_from"]

_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*){1,32}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def check_cost_from(cost_from: Mapping[str, str], pointer: str = "/cost_from") -> None:
    """Raise `InvalidField` where a place can be neither."""
    for unit, place in cost_from.items():
        if not (_POINTER if place.startswith("/") else _HEADER).fullmatch(place):
            raise InvalidField(
                f"{place[:64]!r} is no place in an answer: write a JSON pointer of at most 32 steps such as "
                '"/usage/total_tokens", or the name of a header.',
                f"{pointer}/{unit.replace('~', '~0').replace('/', '~1')}",
            )
