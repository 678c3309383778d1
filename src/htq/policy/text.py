"""The text of a body: where it is text, in a charset that is known, compressed or not."""

import zlib
from typing import Final

from htq.words.task import Headers

__all__ = ["MOST_DECODED", "as_text"]

MOST_DECODED: Final = 16 * 1024 * 1024
"""Bytes to which a compressed body may grow."""

_MOST_RATIO: Final = 100

_CHARSETS: Final = frozenset(
    (
        *("utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "latin1", "latin-1"),
        *("shift_jis", "euc-jp", "iso-2022-jp", "euc-kr", "gb2312", "gbk", "gb18030", "big5", "koi8-r", "koi8-u"),
        *(f"iso-8859-{part}" for part in range(1, 17)),
        *(f"windows-125{page}" for page in range(9)),
    )
)
"""What `charset` may name. Not all that Python knows: some of its codecs take quadratic time, and some are no charsets."""


def as_text(body: bytes, headers: Headers, most: int = MOST_DECODED) -> str | None:
    """The text of a response's body, or None if it has none that is certain, or has more than `most` bytes decompressed."""
    if not body:
        return ""
    codings, media = "", ""
    for name, value in headers:
        match name.lower():
            case "content-encoding":
                codings = f"{codings},{value}"
            case "content-type":
                media = media or value
    plain = _decompressed(body, codings, most) if codings else body
    if plain is None:
        return None
    try:
        return plain.decode(_charset(media))
    except (ValueError, LookupError):
        return None


def _charset(media: str) -> str:
    for parameter in media.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            # What is declared as ASCII is UTF-8 more often than not; where it is ASCII, it is UTF-8 as well.
            return charset if charset in _CHARSETS else "utf-8"
    return "utf-8"


def _decompressed(body: bytes, codings: str, most: int) -> bytes | None:
    """The body without its one coding. None where that is not known, broken, or would grow too large."""
    applied = [coding for part in codings.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not applied:
        return body
    if len(applied) > 1 or applied[0] not in ("gzip", "x-gzip", "deflate"):
        return None
    most = min(most, len(body) * _MOST_RATIO)
    # "deflate" is zlib's format (RFC 9110, 8.4.1.2), and some servers send it bare.
    for bits in (31,) if applied[0] != "deflate" else (15, -15):
        inflate = zlib.decompressobj(bits)
        try:
            plain = inflate.decompress(body, most + 1)
        except zlib.error:
            continue
        if inflate.eof and not inflate.unused_data and len(plain) <= most:
            return plain
        return None
    return None
