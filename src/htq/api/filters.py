"""Filters in a query: which tasks a list, a cancel or a retry takes."""

from collections.abc import Mapping
from typing import Final, get_args

from htq.api.query import once
from htq.stores.base import Filter
from htq.words.errors import Malformed
from htq.words.limits import FOREVER
from htq.words.states import STATES, State

__all__ = ["check_some", "page_size", "read_filter", "read_reason"]

_DEFAULT_LIMIT: Final = 100
_MOST: Final = 1000
_LONGEST_REASON: Final = 500


def read_filter(query: Mapping[str, list[str]]) -> tuple[Filter, dict[str, str]]:
    """The filter in a query, and all parameters that can be given once only. Raises `Malformed`."""
    single: dict[str, str] = {}
    labels: dict[str, str] = {}
    statuses: list[State] = []
    for name, values in query.items():
        if name == "status":
            statuses = [_status(word) for value in values for word in value.split(",")]
            continue
        value = once(query, name)
        assert value is not None
        if name.startswith("label."):
            labels[name.removeprefix("label.")] = value
        else:
            single[name] = value
    where = Filter(
        statuses=tuple(dict.fromkeys(statuses)),
        queue=single.get("queue"),
        key=single.get("key"),
        host=single["host"].lower() if "host" in single else None,
        name=single.get("id"),
        group=single.get("group"),
        labels=labels,
        since=_integer("since", single.get("since"), 0, FOREVER),
        until=_integer("until", single.get("until"), 0, FOREVER),
    )
    return where, single


def check_some(where: Filter) -> None:
    """Raise `Malformed` for a filter that takes everything: what is done to many tasks must say to which."""
    if where == Filter():
        raise Malformed("Nothing says which requests: give a filter, such as status=queued or queue=mail.")


def page_size(query: Mapping[str, list[str]]) -> int:
    """The parameter `limit`. Raises `Malformed`."""
    limit = _integer("limit", once(query, "limit"), 1, _MOST)
    return _DEFAULT_LIMIT if limit is None else limit


def read_reason(text: str | None) -> str | None:
    """The caller's own words for a cancel. Raises `Malformed`."""
    if text and (len(text) > _LONGEST_REASON or not text.isprintable()):
        raise Malformed(f"reason is one line of at most {_LONGEST_REASON} characters.")
    return text or None


def _status(word: str) -> State:
    for state in STATES:
        if state == word:
            return state
    raise Malformed(f"{word[:32]!r} is not a status: take one of {', '.join(get_args(State))}.")


def _integer(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15 and least <= int(text) <= most:
        return int(text)
    raise Malformed(f"{name} is an integer from {least} to {most}.")
