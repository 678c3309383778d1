"""The asyncio client."""

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from htq.client import verbs
from htq.client.address import away, read_address
from htq.client.idle import Idle
from htq.client.line import Line, dial
from htq.client.verbs import Answer, Call, Result, Verb

__all__ = ["AsyncClient"]


class AsyncClient:
    """`Client` for asyncio: the same verbs, awaitable, any number at a time.

    Canceling a call closes its connection. The request at the server goes on, unless it is canceled too.
    """

    def __init__(self, url: str | None = None, timeout: float = 30.0, tls: ssl.SSLContext | None = None) -> None:
        self._address = read_address(url)
        self._timeout = timeout
        self._tls = tls
        self._idle = Idle(Line.has_ended, Line.abort)

    async def send(
        self,
        url: str,
        method: str | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - the seed's name
        timeout: float | Mapping[str, float] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """As `Client.send`."""
        return await self._do(verbs.send(url, method, data, headers, id, timeout, options))

    async def request(self, uuid: str) -> dict[str, Any]:
        """As `Client.request`."""
        return await self._do(verbs.request(uuid))

    async def status(self, uuid: str) -> str:
        """As `Client.status`."""
        return await self._do(verbs.status(uuid))

    async def response(self, uuid: str) -> dict[str, Any] | None:
        """As `Client.response`."""
        return await self._do(verbs.response(uuid))

    async def wait(self, uuid: str, timeout: float | None = None) -> dict[str, Any]:
        """As `Client.wait`."""
        return await self._do(verbs.wait(uuid, timeout, time.monotonic))  # noqa: TID251 - the caller's clock

    async def cancel(self, uuid: str) -> None:
        """As `Client.cancel`."""
        await self._do(verbs.cancel(uuid))

    async def cancel_all(
        self,
        *,
        dry_run: bool = False,
        reason: str | None = None,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> int:
        """As `Client.cancel_all`."""
        return await self._do(verbs.cancel_all(dry_run, reason, labels, filters))

    async def purge(self, uuid: str) -> None:
        """As `Client.purge`."""
        await self._do(verbs.purge(uuid))

    async def queued(self) -> list[dict[str, Any]]:
        """As `Client.queued`."""
        return await self._do(verbs.queued())

    async def size(self) -> int:
        """As `Client.size`."""
        return await self._do(verbs.size())

    async def close(self) -> None:
        """Let go of the idle connections. A later call makes a new one."""
        self._idle.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, verb: Verb[Result]) -> Result:
        try:
            call = next(verb)
            while True:
                call = verb.send(await self._make(call))
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _make(self, call: Call) -> Answer:
        line: Line | None = None
        done = False
        try:
            async with asyncio.timeout(self._timeout + call.waits):
                line = self._idle.take() or await dial(self._address, self._tls)
                answer = await line.exchange(call, self._address)
            done = True
        except (OSError, EOFError) as error:
            raise away(self._address, error) from error
        finally:
            if line is not None:
                if done and line.reusable:
                    self._idle.put(line)
                else:
                    line.abort()
        return answer
