"""Reading one reply after another from the bytes of a connection. No I/O.

httptools (llhttp, strict) does the grammar; what it can't know or does not bound is here: which request is being
answered, interim replies, the size of a header section, and that a reply is over where its message ends.
"""

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from htq.words.errors import SendError
from htq.words.task import Headers

__all__ = ["MAX_HEADERS", "MAX_HEADER_BYTES", "MAX_HINTS", "MAX_INTERIM", "ReplyReader"]

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of the header sections of one reply, those of its interim replies included; and of its trailer section."""

MAX_HEADERS = 500
"""Header fields of one reply."""

MAX_INTERIM = 256
"""Interim (1xx) replies before one that is final. A service that sends 102 every 20 s gets more than an hour of them."""

MAX_HINTS = 8
"""Interim replies among which early hints (103) are read."""

_MAX_DISCARDED = 64 * 1024
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class _MessageOver(Exception):
    """Stops the parser, which would take what follows for another reply."""


class ReplyReader:
    """The replies that arrive on one connection. `begin` announces a request; then `feed` until `complete`."""

    __slots__ = (
        "_body",
        "_body_rest",
        "_discard",
        "_expect_no_body",
        "_fields",
        "_header_bytes",
        "_headers_done",
        "_hints",
        "_interim",
        "_is_interim",
        "_max_body",
        "_parser",
        "_phrase",
        "_skip_redirects",
        "_unproductive",
        "body_size",
        "buffered",
        "code",
        "complete",
        "reusable",
    )

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = None
        self.complete = True
        self.reusable = False

    def begin(self, *, head: bool, max_body: int, skip_redirects: bool) -> None:
        """Get ready for the reply to a request; `head`: to a HEAD, which has no body whatever its headers say.

        With `skip_redirects` the body of a redirect is dropped, since another request will follow.
        """
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        self._expect_no_body = head
        self._max_body = max_body
        self._skip_redirects = skip_redirects
        self._discard = False
        self._phrase = b""
        self._fields: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._headers_done = False
        self._hints: tuple[tuple[str, str], ...] = ()
        self._interim = 0
        self._is_interim = False
        self._unproductive = 0
        self._body = b""
        self._body_rest: bytearray | None = None
        self.code = 0
        self.body_size = 0
        self.buffered = 0
        self.complete = False
        self.reusable = False

    def release(self) -> None:
        """Let go of the parser, which holds on to this object."""
        self._parser = None

    def feed(self, data: bytes) -> bool:
        """Take what arrived; whether the reply is complete now. Raises `SendError` where it is not HTTP, or more than may come."""
        assert self._parser is not None
        size_before = self.body_size
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._stopped(error, data)
            return True
        if self.complete:
            return True
        # Header sections, trailers and chunk extensions have no end that the parser would enforce.
        if self.body_size == size_before:
            self._unproductive += len(data)
            if self._unproductive > MAX_HEADER_BYTES:
                raise _protocol(
                    f"{MAX_HEADER_BYTES} bytes came without an end of the headers, or without a byte of the body"
                )
        else:
            self._unproductive = 0
        return False

    def feed_eof(self) -> bool:
        """The target ended the connection; whether that completes the reply (RFC 9112, 6.3, rule 8)."""
        if self._headers_done and not self._is_interim and not self.complete and not self._is_framed():
            self.complete = True
        return self.complete

    def headers(self) -> Headers:
        """The fields in order, with case and duplicates."""
        return tuple(self._fields)

    def heard(self) -> Headers:
        """The fields that have come so far: those of the first early hints (RFC 8297), and the reply's."""
        return (*self._hints, *self._fields)

    def phrase(self) -> str:
        return self._phrase.decode("latin-1")

    def field(self, name: str) -> str | None:
        """The first value of a field; `name` in lower case."""
        for given, value in self._fields:
            if given.lower() == name:
                return value
        return None

    def is_redirect(self) -> bool:
        return self.code in _REDIRECTS and self.field("location") is not None

    def take_body(self) -> bytes:
        """All of the body that is here and was not taken yet."""
        rest = self._body_rest
        body = self._body if rest is None else bytes(rest)
        self._body = b""
        self._body_rest = None
        self.buffered = 0
        return body

    def take_chunks(self, size: int, *, final: bool) -> list[bytes]:
        """The body that is here in chunks of `size` bytes. Less than that stays for later, unless it is the `final` rest."""
        body = self.take_body()
        whole = len(body) if final else len(body) - len(body) % size
        if whole < len(body):
            self._body = body[whole:]
            self.buffered = len(self._body)
        return [body[start : start + size] for start in range(0, whole, size)]

    # --- called by the parser -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise _MessageOver

    def on_status(self, status: bytes) -> None:
        self._phrase += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _protocol(f"the reply's headers are larger than {MAX_HEADER_BYTES} bytes")
        if self._headers_done:
            return  # a trailer field: nothing that a body needs may stand there (RFC 9110, 6.5.1)
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        self._headers_done = True
        self.code = code = parser.get_status_code()
        version = parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise _protocol(f"the reply says HTTP/{version}")
        if code < 200:
            self._on_interim(code)
            return
        if len(self._fields) > MAX_HEADERS:
            raise _protocol(f"the reply has more than {MAX_HEADERS} header fields")
        length = 0
        for name, value in self._fields:
            size = len(name)
            if size == 14 and name.lower() == "content-length":
                length = int(value)
            elif (
                size == 17 and name.lower() == "transfer-encoding" and (version == "1.0" or value.lower() != "chunked")
            ):
                raise _protocol("the reply has a transfer coding that was not asked for")
        if self._expect_no_body:
            self.complete = True
            self.reusable = parser.should_keep_alive()
            raise _MessageOver
        if self._skip_redirects and self.is_redirect():
            self._discard = True
        elif length > self._max_body and code != 204 and code != 304:
            raise self._too_large()

    def on_body(self, body: bytes) -> None:
        self.body_size = size = self.body_size + len(body)
        if self._discard:
            if size > _MAX_DISCARDED:
                self.complete = True
                raise _MessageOver
            return
        if size > self._max_body:
            raise self._too_large()
        if self._body_rest is not None:
            self._body_rest += body
        elif self._body:
            # Not a list of pieces: a body in chunks of a byte would take forty times its size.
            self._body_rest = bytearray(self._body)
            self._body_rest += body
        else:
            self._body = body
        self.buffered += len(body)

    def on_message_complete(self) -> None:
        if self._is_interim:
            if self.code == 103 and self._interim <= MAX_HINTS:
                self._hints += tuple(self._fields)
            self._is_interim = False
            self._headers_done = False
            self._fields = []
            self._phrase = b""
            return
        assert self._parser is not None
        self.complete = True
        self.reusable = self._parser.should_keep_alive()

    # ------------------------------------------------------------------------------------------

    def _on_interim(self, code: int) -> None:
        if code < 100 or code == 101:
            raise _protocol(f"status {code} can't answer this request")
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise _protocol(f"more than {MAX_INTERIM} interim replies")
        self._is_interim = True

    def _stopped(self, error: Exception, data: bytes) -> None:
        """The parser gave up, or was stopped from a callback, whose exception arrives as the context of its own."""
        self._parser = None
        cause = error.__context__ if isinstance(error, HttpParserCallbackError) else None
        if isinstance(cause, SendError):
            raise cause
        if not self.complete:
            raise _protocol(str(error) or type(error).__name__) from error
        # Something follows the reply: the connection is not to be trusted. Only after a HEAD nothing may follow all the same,
        # since the parser was stopped at the end of the headers.
        self.reusable = (
            self._expect_no_body and self.reusable and data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
        )

    def _is_framed(self) -> bool:
        return self.field("content-length") is not None or self.field("transfer-encoding") is not None

    def _too_large(self) -> SendError:
        return SendError("too_large", f"the reply's body is larger than the {self._max_body} bytes allowed", sent=True)


def _protocol(detail: str) -> SendError:
    return SendError("protocol", f"what came back is not HTTP/1.1: {detail}", sent=True)
