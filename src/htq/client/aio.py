"""The asyncio client."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from htq.client import verbs
from htq.client.address import away, read_address
from htq.client.aio_parts import AsyncGroups, AsyncQueues, AsyncSchedules
from htq.client.blocking import REPEATS
from htq.client.exchange import Answer, Call, Result, SourceError, Verb, path_of
from htq.client.handles import AsyncSent
from htq.client.idle import Idle
from htq.client.line import Line, dial
from htq.client.options import Options

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
        self.groups = AsyncGroups(self._do)
        self.queues = AsyncQueues(self._do)
        self.schedules = AsyncSchedules(self._do)

    async def send(
        self,
        /,
        url: str,
        method: str | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - the seed's name
        timeout: float | Mapping[str, float] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> AsyncSent:
        """As `Client.send`."""
        fields = verbs.fields_of(url, method, data, headers, id, timeout, options)
        return AsyncSent(await self._do(verbs.send(fields, idempotency_key or verbs.new_key())), self)

    async def send_many(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        group: str | None = None,
        close: bool = True,
        atomic: bool = False,
        idempotency_key: str | None = None,
    ) -> list[dict[str, Any]]:
        """As `Client.send_many`."""
        return await self._do(verbs.send_many(tasks, group, close, atomic, idempotency_key or verbs.new_key()))

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
        now = time.monotonic  # noqa: TID251 - the caller's clock
        return await self._do(verbs.wait(path_of(uuid, "response"), uuid, timeout, now))

    async def cancel(self, uuid: str) -> None:
        """As `Client.cancel`."""
        await self._do(verbs.cancel(uuid))

    async def retry(self, uuid: str) -> AsyncSent:
        """As `Client.retry`."""
        return AsyncSent(await self._do(verbs.retry(uuid)), self)

    async def run_now(self, uuid: str) -> AsyncSent:
        """As `Client.run_now`."""
        return AsyncSent(await self._do(verbs.run_now(uuid)), self)

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

    async def retry_all(
        self,
        *,
        dry_run: bool = False,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> int:
        """As `Client.retry_all`."""
        return await self._do(verbs.retry_all(dry_run, labels, filters))

    async def purge(self, uuid: str) -> None:
        """As `Client.purge`."""
        await self._do(verbs.purge(uuid))

    async def queued(self) -> list[dict[str, Any]]:
        """As `Client.queued`."""
        return await self._do(verbs.listed(None, {}, None))

    async def requests(
        self,
        *,
        limit: int | None = None,
        labels: Mapping[str, str] | None = None,
        **filters: str | int | Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        """As `Client.requests`."""
        return await self._do(verbs.listed(labels, filters, limit))

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
        except SourceError as source:
            raise source.error from source.error.__cause__

    async def _make(self, call: Call) -> Answer:
        try:
            async with asyncio.timeout(self._timeout + call.waits):
                for left in reversed(range(1 if call.key is None else 1 + REPEATS)):
                    line = self._idle.take() or await dial(self._address, self._tls)
                    try:
                        return await self._exchange(line, call)
                    except (ConnectionError, EOFError):
                        if not left:
                            raise
        except (OSError, EOFError) as error:
            raise away(self._address, error) from error
        raise AssertionError("unreachable")

    async def _exchange(self, line: Line, call: Call) -> Answer:
        done = False
        try:
            answer = await line.exchange(call, self._address)
            done = True
        finally:
            if done and line.reusable:
                self._idle.put(line)
            else:
                line.abort()
        return answer
