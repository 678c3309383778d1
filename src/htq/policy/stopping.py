"""What the request is that tells a target to stop: its method, its address, its headers.

The source is `docs/design/cancellation.md`. A caller may name another address, with the task's id in it; a target may name
its own (`Link` with `rel="cancel"`, RFC 8288), on its own origin only. Whatever it is, it is judged like any other.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import urljoin

from htq.policy.fields import is_credential, stop_headers
from htq.policy.target import parse_target
from htq.words.errors import InvalidField
from htq.words.task import Headers, Request

__all__ = ["StopRequest", "cancel_link", "check_template", "expand", "stop_request"]

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_KNOWN: Final = frozenset({"uuid", "attempt", "url"})
_SAMPLE: Final = "00000000-0000-7000-8000-000000000000"

_PARAMETER: Final = r"""\s*;\s*([\w!#$&+.^`|~*-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s",;]+)))?"""
_LINK: Final = re.compile(rf"""<([^<>"]*)>((?:{_PARAMETER})*)""")
_EACH: Final = re.compile(_PARAMETER)
_MAX_LINK: Final = 8192


class StopRequest(NamedTuple):
    """A request without a body."""

    method: str
    url: str
    headers: Headers


def expand(template: str, *, uuid: str, attempt: int, url: str) -> str:
    """A template with its placeholders filled in: `{uuid}`, `{attempt}`, and `{url}`, the task's URL without its query."""
    values = {"uuid": uuid, "attempt": str(attempt), "url": url.partition("?")[0]}
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def check_template(template: str, url: str, pointer: str) -> None:
    """Raise `InvalidField` where a template can't become a URL. Placeholders stand in path and query; `{url}` begins it."""
    for found in _PLACEHOLDER.finditer(template):
        if found[1] not in _KNOWN:
            raise InvalidField(
                f"{found[0]} is no placeholder here; there are {{uuid}}, {{attempt}} and {{url}}.", pointer
            )
        if found[1] == "url" and found.start() != 0:
            raise InvalidField("{url} stands at the beginning, as in {url}/cancel.", pointer)
    authority = "" if template.startswith("{url}") else template.partition("://")[2].partition("/")[0].partition("?")[0]
    if "{" in authority:
        raise InvalidField("Placeholders stand in the path and the query, not in the host.", pointer)
    try:
        parse_target(expand(template, uuid=_SAMPLE, attempt=1, url=url))
    except InvalidField as error:
        raise InvalidField(str(error), pointer) from None


def stop_request(request: Request, uuid: str, attempt: int, link: str | None = None) -> StopRequest:
    """What goes out for an attempt. `link` is what the target itself named; the caller's own wish goes before it."""
    policy = request.stop
    url = link or request.url
    if policy.url is not None:
        url = expand(policy.url, uuid=uuid, attempt=attempt, url=request.url)
    fields = stop_headers(request, uuid, attempt)
    if parse_target(url).origin != parse_target(request.url).origin:
        fields = tuple((name, value) for name, value in fields if not is_credential(name))
    if policy.headers:
        own = {name.lower() for name, _ in policy.headers}
        fields = (*((name, value) for name, value in fields if name.lower() not in own), *policy.headers)
    return StopRequest(policy.method, url, fields)


def cancel_link(headers: Headers, url: str) -> str | None:
    """The address that a reply's `Link` fields give for canceling, absolute, if it is on the origin of `url`."""
    for name, value in headers:
        if name.lower() != "link" or len(value) > _MAX_LINK:
            continue
        for found in _LINK.finditer(value):
            if not _is_cancel(found[2]):
                continue
            try:
                link: str = urljoin(url, found[1])
                if parse_target(link).origin == parse_target(url).origin:
                    return link
            except (InvalidField, ValueError):  # `urljoin` raises the latter, on an address in half a bracket
                continue
    return None


def _is_cancel(parameters: str) -> bool:
    """Whether a link's relation is `cancel`. Of several `rel` parameters the first counts (RFC 8288, 3.3)."""
    for name, quoted, plain in _EACH.findall(parameters):
        if name.lower() == "rel":
            return "cancel" in (quoted or plain).lower().split()
    return False
