"""Versions on the wire: the ETag of a task, and what a caller makes a change depend on (RFC 9110, 8.8.3 and 13.1.1)."""

import re
from typing import Final

from htq.api.http import Header
from htq.words.errors import Malformed
from htq.words.task import Task

__all__ = ["etag", "if_match"]

_TAG: Final = re.compile(rb'(W/)?"([!#-~\x80-\xff]*)"')
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")


def etag(task: Task) -> Header:
    """Its version."""
    return b"etag", b'"%d"' % task.version


def if_match(headers: list[Header]) -> frozenset[int] | None:
    """The versions of which one must hold; None: any. A weak tag, and one that was never ours, match nothing.

    Raises `Malformed`.
    """
    given = [value.strip() for name, value in headers if name == b"if-match"]
    if not given or given == [b"*"]:
        return None
    versions = set()
    for part in b",".join(given).split(b","):
        found = _TAG.fullmatch(part.strip())
        if found is None:
            raise Malformed('If-Match takes the ETag of the request with its quotes, as in If-Match: "3".')
        if found[1] is None and _NUMBER.fullmatch(found[2]):
            versions.add(int(found[2]))
    return frozenset(versions)
