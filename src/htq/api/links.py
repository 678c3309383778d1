"""URLs that are handed out, and the relations between resources (RFC 8288)."""

from typing import Final
from urllib.parse import quote, urlencode

from htq.api.http import Header
from htq.words.states import STATES

__all__ = [
    "RELATION",
    "group_tasks_url",
    "group_url",
    "list_links",
    "queue_url",
    "response_links",
    "schedule_url",
    "task_links",
]

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
    """A page of requests and, where there is more, the next one."""
    return page_links(f"{base}/", parameters, cursor)


def page_links(url: str, parameters: list[tuple[str, str]], cursor: str | None) -> Header:
    """A page of what is listed at `url` and, where there is more, the next one."""
    links = f'<{url}{_query(parameters)}>; rel="self"'
    if cursor is not None:
        after = [pair for pair in parameters if pair[0] != "cursor"]
        links += f', <{url}{_query([*after, ("cursor", cursor)])}>; rel="next"'
    return (b"link", links.encode())


def queue_url(base: str, name: str) -> str:
    return f"{base}/queues/{quote(name, safe='')}/"


def group_url(base: str, name: str) -> str:
    return f"{base}/groups/{quote(name, safe='')}/"


def group_tasks_url(base: str, name: str) -> str:
    """The list of all that is in a group, whatever became of it."""
    return f"{base}/{_query([('status', ','.join(STATES)), ('group', name)])}"


def schedule_url(base: str, name: str) -> str:
    return f"{base}/schedules/{quote(name, safe='')}/"


def lane_url(base: str, queue: str, key: str) -> str:
    return f"{queue_url(base, queue)}keys/{quote(key, safe='')}/"


def _query(parameters: list[tuple[str, str]]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""
