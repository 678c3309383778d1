"""What a task has really cost, as its answer says: a number in a header, or at a place in a JSON body (RFC 6901)."""

from collections.abc import Mapping
from typing import Final

import msgspec

from htq.words.task import Headers

__all__ = ["MAX_BODY", "actual_costs", "looks_into_body"]

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body that is looked into. A larger one leaves its task at what it was charged for."""

_MAX_COST: Final = 1e12
"""Units: more than that is a mistake, and would hold a lane for ever."""

_MAX_POINTER: Final = 32
"""Steps of a pointer that are taken."""

_NODE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_NUMBER: Final = msgspec.json.Decoder(float)
_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def looks_into_body(cost_from: Mapping[str, str]) -> bool:
    """Whether the body is needed for it."""
    return any(source.startswith("/") for source in cost_from.values())


def actual_costs(cost_from: Mapping[str, str], headers: Headers, body: bytes | None) -> dict[str, float] | None:
    """By unit, what the answer says. What it doesn't, or in no way that can be read, is left out; None: it says nothing.

    A `body` that is None is not looked into, nor is one that came compressed.
    """
    costs = {}
    for unit, source in cost_from.items():
        cost = _at(source, body) if source.startswith("/") else _in_header(source, headers)
        if cost is not None and 0 <= cost <= _MAX_COST:
            costs[unit] = cost
    return costs or None


def _in_header(name: str, headers: Headers) -> float | None:
    wanted = name.lower()
    for given, value in headers:
        if given.lower() == wanted:
            try:
                return _NUMBER.decode(value.strip())
            except _ERRORS:
                return None
    return None


def _at(pointer: str, body: bytes | None) -> float | None:
    """The number at that place. Only what lies on the way is looked into, so a large body costs little."""
    if not body or len(body) > MAX_BODY:
        return None
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    if len(steps) > _MAX_POINTER:
        return None
    here: bytes | msgspec.Raw = body
    try:
        for step in steps:
            node = _NODE.decode(here)
            here = node[_index(step)] if isinstance(node, list) else node[step]
        return _NUMBER.decode(here)
    except (*_ERRORS, LookupError):
        return None


def _index(step: str) -> int:
    """An array's index: digits without a leading zero. Raises `LookupError` for anything else."""
    if not (step.isascii() and step.isdigit()) or (step[0] == "0" and step != "0") or len(step) > 9:
        raise LookupError(step)
    return int(step)
