"""The function library: the store's verbs, written in Lua, that run inside the server, each as one step.

A library is known to a server by its name, and the names of its functions are global over all libraries: both carry
`VERSION`. Raise it with every change of a key's meaning or of what goes over the wire, so that processes of two versions
can share a server; `SCHEMA` is raised with the former alone.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from htq.stores.base import BLOCKED_FOR, MAX_CRASHES

__all__ = ["LIBRARY", "SCHEMA", "source"]

SCHEMA: Final = 2
"""The layout of the keys."""

VERSION: Final = 2

LIBRARY: Final = f"htq_{VERSION}"
"""The library's name; a function's is `<library>_<verb>`."""

# Each part uses what is local to those before it.
_PARTS: Final = (
    "keys",
    "step",
    "turns",
    "task",
    "attempts",
    "stops",
    "news",
    "flush",
    "intake",
    "sessions",
    "claims",
    "outcomes",
    "upkeep",
    "reading",
    "register",
)


@cache
def source() -> str:
    """The whole library, as `FUNCTION LOAD` takes it."""
    folder = files("htq.stores.redis") / "lua"
    head = (
        f"#!lua name={LIBRARY}\n"
        f"local NAME, BLOCKED_FOR_MS, MAX_CRASHES = '{LIBRARY}', {round(BLOCKED_FOR * 1000)}, {MAX_CRASHES}\n"
    )
    return head + "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in _PARTS)
