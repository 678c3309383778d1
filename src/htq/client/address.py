"""Where the server is, and what goes with every call to it."""

import os
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from htq.client.errors import Unavailable
from htq.client.exchange import Call

__all__ = ["DEFAULT_URL", "Address", "away", "read_address", "request_headers"]

DEFAULT_URL: Final = "http://localhost:5000"


class Address(NamedTuple):
    """Where the server is. `prefix` is the path before every path, without a slash at its end."""

    tls: bool
    host: str
    port: int
    prefix: str
    authority: str


def read_address(url: str | None) -> Address:
    """Where `url` leads, else `HTQ_URL`, else the default. Raises `ValueError`."""
    text = url or os.environ.get("HTQ_URL") or DEFAULT_URL
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{text!r} is no address of a server: write http://<host>:<port>")
    tls = parts.scheme == "https"
    return Address(tls, host, port or (443 if tls else 80), parts.path.rstrip("/"), parts.netloc.rpartition("@")[2])


def request_headers(call: Call, address: Address) -> dict[str, str]:
    """The header fields of a call, without those that frame it."""
    headers = {"Host": address.authority, "Accept": "application/json", "User-Agent": "htq-client"}
    if call.body is not None:
        headers["Content-Type"] = call.media
        if not isinstance(call.body, bytes):
            headers["Transfer-Encoding"] = "chunked"
    if call.key is not None:
        headers["Idempotency-Key"] = f'"{call.key}"'
    return headers


def away(address: Address, error: Exception) -> Unavailable:
    """The error for a server that did not answer."""
    return Unavailable(f"no answer from {address.authority}: {str(error) or type(error).__name__}")
