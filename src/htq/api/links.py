"""URLs that are handed out, and the relations between resources (RFC 8288)."""

from typing import Final
from urllib.parse import quote, urlencode

from htq.api.http import Header

__all__ = ["RELATION", "list_links", "queue_url", "response_links", "task_links"]

RELATION: Final = "urn:htq:rel:"
"""Begins the URI of a relation that is not registered with IANA: it stands beside the seed's plain word."""


def task_links(base: str, uuid: str) -> Header:
    """The seed's relations of a request."""
    task = f"{base}/{uuid}/"
    return (
        b"link",
        (
            f'<{task}response/>; rel="response", <{task}>; rel="self", <{task}status/>; rel="status", '
            f'<{task}response/>; rel="{RELATION}response"'
        ).encode(),
    )


def response_links(base: str, uuid: str) -> Header:
    """The seed's relations of a response."""
    task = f"{base}/{uuid}/"
    return (
        b"link",
        f'<{task}>; rel="request", <{task}response/>; rel="self", <{task}>; rel="{RELATION}request"'.encode(),
    )


def list_links(base: str, parameters: list[tuple[str, str]], cursor: str | None) -> Header:
    """A page and, where there is more, the next one."""
    links = f'<{base}/{_query(parameters)}>; rel="self"'
    if cursor is not None:
        after = [pair for pair in parameters if pair[0] != "cursor"]
        links += f', <{base}/{_query([*after, ("cursor", cursor)])}>; rel="next"'
    return (b"link", links.encode())


def queue_url(base: str, name: str) -> str:
    return f"{base}/queues/{quote(name, safe='')}/"


def _query(parameters: list[tuple[str, str]]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""
