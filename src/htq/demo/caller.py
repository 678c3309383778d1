"""A caller of the queue in a few lines: one connection a request, and what came back as curl would show it."""

import asyncio
from typing import Any, NamedTuple

import msgspec

__all__ = ["Answer", "Caller"]


class Answer(NamedTuple):
    """A response. `headers` is by name in lower case."""

    code: int
    status_line: str
    headers: dict[str, str]
    body: bytes

    def document(self) -> Any:
        """The JSON of the body."""
        return msgspec.json.decode(self.body)


class Caller:
    """Calls the server that listens on a port of loopback."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    async def call(self, method: str, path: str, document: Any = None) -> Answer:
        """One request. `path` may be an absolute URL of this server. Raises `OSError`, also where no answer came."""
        path = path.removeprefix(self.url)
        body = b"" if document is None else msgspec.json.encode(document)
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nConnection: close\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"{head}\r\n".encode("latin-1") + body)
            return _parse(await reader.read())
        finally:
            writer.close()


def _parse(response: bytes) -> Answer:
    head, found, body = response.partition(b"\r\n\r\n")
    if not found:
        raise ConnectionError("the server closed the connection without an answer")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Answer(int(status_line.split(" ")[1]), status_line, headers, body)
