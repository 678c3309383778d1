"""From the table of routes to the one that a path names."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from htq.api.table import Route

__all__ = ["Found", "Router"]

_NAMES: Final = {
    "uuid": re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE),
    "queue": re.compile(r"[^/]{1,64}"),
    "group": re.compile(r"[^/]{1,128}"),
    "schedule": re.compile(r"[^/]{1,128}"),
    "problem": re.compile(r"[a-z-]{1,64}"),
}
"""What may stand where a path has a name in braces. A path has one, and at its end may have `{key}` besides."""

_KEY: Final = "/{key}"


class Found(NamedTuple):
    """A route, and what its braces stand for: a uuid in lower case."""

    route: Route
    name: str = ""
    key: str = ""


class Router:
    """Finds routes. With and without a slash at the end is the same path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._literal: dict[str, Found] = {}
        self._keyed: list[tuple[str, re.Pattern[bytes], Route]] = []
        self._named: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            path = route.path.rstrip("/")
            before, brace, rest = path.partition("{")
            if path.endswith(_KEY):
                middle = rest.removesuffix(_KEY).partition("}")[2]
                shape = f"{re.escape(before)}([^/]+){re.escape(middle)}/(.+?)/?"
                self._keyed.append((before, re.compile(shape.encode(), re.DOTALL), route))
                continue
            if not brace:
                self._literal[path] = Found(route)
                continue
            name, _, after = rest.partition("}")
            self._named.setdefault((before, after), []).append((_NAMES[name], route))

    def find(self, path: str, raw: bytes) -> Found | None:
        """The route that a path leads to. `raw` is the path as it came, percent-encoded."""
        given, path = path, path.removesuffix("/")
        literal = self._literal.get(path)
        if literal is not None:
            return literal
        # /{uuid}, /{uuid}/x, or /xs/{x}: nothing else is in the table, so the name is the first part or the second.
        parts = path.split("/")
        for at in (1, 2):
            if len(parts) <= at:
                break
            before = "/".join(parts[:at]) + "/"
            after = "/".join(["", *parts[at + 1 :]])
            for pattern, route in self._named.get((before, after), ()):
                if pattern.fullmatch(parts[at]):
                    return Found(route, parts[at].lower() if "{uuid}" in route.path else parts[at])
        return self._find_keyed(given, raw)

    def _find_keyed(self, path: str, raw: bytes) -> Found | None:
        """A key is what is left of the path, and may be a URL: only in its raw form is it told which slashes are its own."""
        for before, shape, route in self._keyed:
            found = shape.fullmatch(raw) if path.startswith(before) else None
            if found is None:
                continue
            try:
                name, key = (unquote_to_bytes(part).decode() for part in found.groups())
            except UnicodeDecodeError:
                return None
            return Found(route, name, key)
        return None
