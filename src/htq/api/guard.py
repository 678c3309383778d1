"""Who may be asked for, and by whom: against web pages that reach a server on loopback through their reader's browser.

A page can send requests to 127.0.0.1 (their `Origin` and `Sec-Fetch-Site` say so), or resolve a name of its own to it (its
`Host` says so). No tool outside browsers sends these headers, so it notices nothing.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from htq.api.http import Scope
from htq.api.refusals import ForeignHost, ForeignOrigin
from htq.api.settings import ApiSettings
from htq.words.errors import Malformed

__all__ = ["Guard"]

_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_KEPT: Final = 256
"""Host values that are remembered: a handful in practice, and a caller can invent any number."""


class Guard:
    """Turns foreign requests away, and knows the base of the links for the others."""

    def __init__(self, settings: ApiSettings) -> None:
        public = settings.public_url
        self._public = public.rstrip("/") if public else None
        names = settings.allowed_hosts
        self._names: frozenset[str] | None = None
        self._own_origins: frozenset[str] = frozenset()
        if self._public is not None:
            parts = urlsplit(self._public)
            self._own_origins = frozenset((f"{parts.scheme}://{parts.netloc}".lower(),))
            if names is not None and parts.hostname:
                names = (*names, parts.hostname)
        if names is not None:
            self._names = frozenset(name.strip("[]").lower() for name in names)
        self._bases: dict[tuple[str, bytes], str] = {}

    def check(self, scope: Scope) -> str:
        """The base of every link. Raises `ForeignHost`, `ForeignOrigin` or `Malformed`."""
        host = b""
        origin = site = mode = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        key = (scope["scheme"], host)
        base = self._bases.get(key) or self._judge(key)
        if origin is not None or site is not None:
            self._check_origin(scope, host, origin, site, mode)
        return base

    def _judge(self, key: tuple[str, bytes]) -> str:
        scheme, value = key
        host = value.decode("latin-1")
        found = _HOST.fullmatch(host)
        if found is None:
            raise Malformed("The header Host is not a name or address, with a port if need be.")
        if self._names is not None and found[1].strip("[]").lower().removesuffix(".") not in self._names:
            raise ForeignHost(
                f"This server does not answer to {found[1]}: use its own name, or start it with --allowed-hosts {found[1]}."
            )
        base = self._public or f"{scheme}://{host}"
        if len(self._bases) >= _KEPT:
            self._bases.clear()
        self._bases[key] = base
        return base

    def _check_origin(
        self, scope: Scope, host: bytes, origin: bytes | None, site: bytes | None, mode: bytes | None
    ) -> None:
        # Following a link to here is harmless: the page that holds it doesn't get to see what comes of it.
        if mode == b"navigate" and scope["method"] in ("GET", "HEAD"):
            return
        if site is not None and site not in (b"same-origin", b"none"):
            raise ForeignOrigin("A page of another origin made a browser send this: no such request is served.")
        if origin is not None:
            text = origin.decode("latin-1").lower()
            own = f"{scope['scheme']}://{host.decode('latin-1')}".lower()
            if text != own and text not in self._own_origins:
                raise ForeignOrigin(f"A page of the origin {text[:100]} sent this: only pages of {own} are served.")
