"""What the operator decides about the HTTP API."""

from typing import Final

import msgspec

__all__ = ["LOOPBACK_HOSTS", "ApiSettings"]

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the API looks from outside."""

    public_url: str | None = None
    """Base of every link that is handed out, without a slash at its end; None: what the request's Host says."""
    allowed_hosts: tuple[str, ...] | None = LOOPBACK_HOSTS
    """Names that a request's Host may carry, without ports; that of `public_url` is always one. None: any.

    On loopback this is what keeps a web page from reaching the API under a name of its own that resolves to 127.0.0.1.
    """
    max_wait: float = 60.0
    """Seconds to which a caller's `wait` is clamped."""
    max_json: int = 10 * 1024 * 1024
    """Bytes of a JSON document."""
    max_batch: int = 1024 * 1024 * 1024
    """Bytes of a batch."""
    max_batch_items: int = 1_000_000
