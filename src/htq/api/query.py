"""Query strings: every parameter is known to its operation, or the caller hears about it."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from htq.words.errors import Malformed

__all__ = ["flag", "once", "parse_query"]

_MAX_PARAMETERS: Final = 64


def parse_query(query: bytes, known: Sequence[str]) -> Mapping[str, list[str]]:
    """Values by parameter. A name in `known` that ends in `.` takes any name that begins with it. Raises `Malformed`.

    An unknown parameter is an error, since a filter that is misspelled would take far too much.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except (UnicodeDecodeError, ValueError):
        raise Malformed(
            f"The query can't be read: percent-encode UTF-8, and give at most {_MAX_PARAMETERS} parameters."
        ) from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known and not any(name.startswith(start) for start in known if start[-1] == "."):
            raise Malformed(_unknown(name, known))
        if "\0" in value or "\0" in name:
            raise Malformed("The query holds a NUL.")
        found.setdefault(name, []).append(value)
    return found


def once(query: Mapping[str, list[str]], name: str) -> str | None:
    """The value of a parameter that can be given once only. Raises `Malformed`."""
    values = query.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise Malformed(f"The parameter {name} stands there more than once: give it once.")
    return values[0]


def flag(query: Mapping[str, list[str]], name: str, usual: bool = False) -> bool:
    """A parameter that is 1 or 0. Raises `Malformed`."""
    text = once(query, name)
    if text is None:
        return usual
    if text in ("1", "true"):
        return True
    if text in ("0", "false"):
        return False
    raise Malformed(f"{name} is 1 or 0.")


def _unknown(name: str, known: Sequence[str]) -> str:
    shown = name[:64]
    if not known:
        return f"The parameter {shown!r} is not known: this resource takes none."
    near = difflib.get_close_matches(shown, known, 1)
    names = ", ".join(f"{start}<name>" if start[-1] == "." else start for start in known)
    return f"The parameter {shown!r} is not known{f': did you mean {near[0]}?' if near else '.'} Known are {names}."
