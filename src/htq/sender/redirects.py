"""Where a redirect leads, and what the request becomes on the way (RFC 9110, 15.4). Pure."""

from urllib.parse import urljoin

import msgspec

from htq.policy.fields import describes_body, is_credential
from htq.policy.target import Target, parse_target
from htq.sender.base import Message
from htq.words.errors import InvalidField, SendError

__all__ = ["redirected"]


def redirected(message: Message, target: Target, code: int, location: str) -> tuple[Message, Target]:
    """The request that follows `code` with `Location: location`, and where it goes.

    303 turns everything but HEAD into a GET, 301 and 302 do so with a POST, as every client does; 307 and 308 keep method
    and body. Across origins the caller's credentials stay behind: Authorization, Cookie, Proxy-*, and *-Key, *-Token, *-Secret.
    Raises `SendError`, reason `redirects`, where the address can't be taken.
    """
    if any(c < "!" or c == "\x7f" for c in location):
        raise _unusable(location, "it holds a space or a control character")
    url = "".join(c if c < "\x7f" else f"%{ord(c):02X}" for c in location)  # bytes as they came, read as latin-1
    try:
        url = urljoin(f"{target.origin}{target.path_and_query}", url).partition("#")[0]
        there = parse_target(url)
    except InvalidField as error:
        raise _unusable(location, str(error)) from None
    except ValueError as error:
        raise _unusable(location, str(error)) from None
    method = message.method
    if (code == 303 and method != "HEAD") or (code in (301, 302) and method == "POST"):
        method = "GET"
    headers = message.headers
    body = message.body
    if method != message.method:
        body = b""
        headers = tuple(field for field in headers if not describes_body(field[0]))
    if there.origin != target.origin:
        headers = tuple(field for field in headers if not is_credential(field[0]))
    return msgspec.structs.replace(message, method=method, url=url, headers=headers, body=body), there


def _unusable(location: str, why: str) -> SendError:
    return SendError("redirects", f"the redirect to {location[:200]!r} can't be followed: {why}", sent=True)
