"""Why the door itself turns a request away, before any use case is asked."""

from htq.words.errors import RequestError

__all__ = ["ForeignHost", "ForeignOrigin", "HeadersTooLarge", "TooSlow"]


class ForeignHost(RequestError):
    """The request was meant for another host."""


class ForeignOrigin(RequestError):
    """A page of another origin made a browser send it."""


class HeadersTooLarge(RequestError):
    """The request line and headers are longer than the server takes."""


class TooSlow(RequestError):
    """The request didn't arrive in time."""
