"""From the table of routes to the one that a path names."""

import re
from collections.abc import Iterable
from typing import Final

from htq.api.table import Route

__all__ = ["Router"]

_NAMES: Final = {
    "uuid": re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE),
    "queue": re.compile(r"[^/]{1,64}"),
    "problem": re.compile(r"[a-z-]{1,64}"),
}
"""What may stand where a path has a name in braces. A path has one at most."""


class Router:
    """Finds routes. With and without a slash at the end is the same path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._literal: dict[str, Route] = {}
        self._named: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            path = route.path.rstrip("/")
            before, brace, rest = path.partition("{")
            if not brace:
                self._literal[path] = route
                continue
            name, _, after = rest.partition("}")
            self._named.setdefault((before, after), []).append((_NAMES[name], route))

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route and what its braces stand for (a uuid in lower case), or None."""
        path = path.removesuffix("/")
        route = self._literal.get(path)
        if route is not None:
            return route, ""
        # /{uuid}, /{uuid}/x, or /xs/{x}: nothing else is in the table, so the name is the first part or the second.
        parts = path.split("/")
        for at in (1, 2):
            if len(parts) <= at:
                break
            before = "/".join(parts[:at]) + "/"
            after = "/".join(["", *parts[at + 1 :]])
            for pattern, route in self._named.get((before, after), ()):
                if pattern.fullmatch(parts[at]):
                    return route, parts[at].lower() if "{uuid}" in route.path else parts[at]
        return None
