"""A URL, parsed once and strictly: what is stored, judged, dialled and written to the wire all comes from here.

Strict, because the lenient parsers disagree with each other: `urlsplit` drops TAB, CR and LF without a word, and
`getaddrinfo` takes `127.1`, `0x7f.1`, `2130706433` and circled digits for 127.0.0.1. Whatever could be read in two ways
is refused with a sentence that says what to write instead. Path and query are kept byte for byte.
"""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

from htq.words.errors import InvalidField

__all__ = ["MAX_URL", "Target", "parse_target", "with_uuid"]

MAX_URL = 8190
"""Characters of a URL: what the common servers take in a request line."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

_SHAPE = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_PATH_OR_QUERY = re.compile("[/?]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)
# The WHATWG URL standard's "ends in a number": such a host means an IPv4 address to some resolver.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class Target(NamedTuple):
    """Where a request goes."""

    scheme: str
    """`http` or `https`."""
    host: str
    """Lower case; an IPv6 address without its brackets, in its shortest form."""
    port: int
    path_and_query: str
    """As given; begins with a slash."""
    origin: str
    """`scheme://host`, and the port where it is not the scheme's own (RFC 6454)."""
    host_header: str
    """What goes into `Host` (RFC 9110, 7.2)."""
    address: str | None
    """The host where it is an address itself, so that nothing needs to be looked up."""


@lru_cache(maxsize=2048)
def parse_target(url: str) -> Target:
    """Read an absolute http or https URL. Raises `InvalidField` with the pointer `/url`."""
    found = _SHAPE.fullmatch(url)
    if found is None or len(url) > MAX_URL or "#" in url or "\\" in url:
        raise _refusal(_why_not(url))
    scheme = found["scheme"].lower()
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    if port > 65535:
        raise _refusal(f"Port {port} is out of range: a port is a number from 1 to 65535.")
    host, address = _host(found["host"].lower())
    rest = found["rest"] or "/"
    if rest[0] == "?":
        rest = "/" + rest
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    return Target(scheme, host, port, rest, f"{scheme}://{authority}", authority, address)


def with_uuid(url: str, uuid: str) -> str:
    """`{uuid}` filled in where it stands in path or query: the caller can't know it beforehand. Other braces are his own."""
    scheme, separator, rest = url.partition("://")
    found = _PATH_OR_QUERY.search(rest)
    at = found.start() if found is not None else len(rest)
    return scheme + separator + rest[:at] + rest[at:].replace("{uuid}", uuid)


def _host(given: str) -> tuple[str, str | None]:
    """The host, and the address that it is, if it is one."""
    if given[0] == "[":
        try:
            address = str(ipaddress.IPv6Address(given[1:-1]))
        except ValueError:
            raise _refusal(f"{given} is not an IPv6 address.") from None
        return address, address
    name = given[:-1] if given.endswith(".") else given
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            address = str(ipaddress.IPv4Address(given))
        except ValueError:
            raise _refusal(
                f"The host {given} would be read as a number: write an IPv4 address as four decimal numbers, like 192.0.2.1."
            ) from None
        return address, address
    if len(name) > 253 or not all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels):
        raise _refusal(
            f"{given[:80]} is not a host name: labels of 1 to 63 letters, digits and hyphens, joined by dots."
        )
    return given, None


def _why_not(url: str) -> str:
    """The sentence for a URL that does not have the shape; tried in the order in which people err."""
    if not url:
        return "The URL is empty: give an absolute one, like http://example.com/path."
    if len(url) > MAX_URL:
        return f"The URL has {len(url)} characters; at most {MAX_URL} are taken."
    if any(c <= " " or c == "\x7f" for c in url):
        return "The URL holds a space or a control character: percent-encode it."
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        return "The URL must begin with http:// or https://."
    if "\\" in url:
        return "The URL holds a backslash, which some readers take for a slash: write /, or percent-encode it as %5C."
    if "#" in url:
        return "The URL holds a fragment, which is never sent: leave out # and what follows, or encode # as %23."
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    if not authority:
        return "The URL has no host."
    if "@" in authority:
        return "The URL holds a user name or password: send an Authorization header instead."
    if not authority.isascii():
        return "The host holds characters beyond ASCII: write an international name in its xn-- form."
    if not url.isascii():
        return "The URL holds characters beyond ASCII: percent-encode the path and query."
    if "%" in authority:
        return "The host holds a percent sign: zone ids and encoded host names are not taken."
    return f"{authority[:80]} is not a host and port: write a name or an address, and a port from 1 to 65535 if any."


def _refusal(detail: str) -> InvalidField:
    return InvalidField(detail, "/url")
