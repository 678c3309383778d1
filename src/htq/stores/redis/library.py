"""The function library: the store's verbs, written in Lua, that run inside the server, each as one step.

A library is known to a server by its name, and the names of its functions are global over all libraries: both carry
`VERSION`. Raise it with every change of a key's meaning or of what goes over the wire, so that processes of two versions
can share a server; `SCHEMA` is raised with the former alone.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from htq.stores.base import BLOCKED_FOR, MAX_CRASHES
from htq.words.limits import FOREVER

__all__ = ["LIBRARY", "SCHEMA", "source"]

SCHEMA: Final = 3
"""The layout of the keys. `adopt` (lua/upkeep.lua) says what becomes of an instance with another one."""

VERSION: Final = 3

LIBRARY: Final = f"htq_{VERSION}"
"""The library's name; a function's is `<library>_<verb>`."""

# Each part uses what is local to those before it, but for those of the second list: they are verbs alone, and local to nobody,
# since Lua knows no more than 200 local names at once.
_PARTS: Final = (
    "keys",
    "step",
    "turns",
    "windows",
    "task",
    "limits",
    "attempts",
    "stops",
    "news",
    "groups",
    "counts",
    "flush",
    "names",
    "intake",
    "sessions",
)

_VERBS: Final = (
    "claims",
    "outcomes",
    "changes",
    "upkeep",
    "settings",
    "callbacks",
    "schedules",
    "reading",
)


@cache
def source() -> str:
    """The whole library, as `FUNCTION LOAD` takes it."""
    folder = files("htq.stores.redis") / "lua"
    head = (
        f"#!lua name={LIBRARY}\n"
        f"local NAME, FOREVER = '{LIBRARY}', {FOREVER}\n"
        f"local BLOCKED_FOR_MS, MAX_CRASHES = {round(BLOCKED_FOR * 1000)}, {MAX_CRASHES}\n"
    )
    shared = [(folder / f"{part}.lua").read_text("utf-8") for part in _PARTS]
    verbs = [f"do\n{(folder / f'{part}.lua').read_text('utf-8')}end\n" for part in _VERBS]
    return head + "\n".join(shared + verbs)
