"""Many requests over a few connections, each sending its next one as soon as it has an answer: callbacks all the way."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from htq.bench.wire import Answer, Connection, ConnectionLost
from htq.words.clock import Clock

__all__ = ["Unexpected", "drive", "expect", "uuid_of"]


class Unexpected(Exception):
    """The system under test gave an answer with which there is nothing to measure."""


def expect(answer: Answer, code: int) -> Answer:
    """`answer`, if it has this code. Raises `Unexpected`."""
    if answer.code != code:
        raise Unexpected(f"expected {code}, got {answer.code}: {answer.body[:300].decode('utf-8', 'replace')}")
    return answer


def uuid_of(answer: Answer) -> str:
    """The last part of the Location of a 303. Raises `Unexpected` for another answer."""
    return expect(answer, 303).header(b"location").rstrip(b"/").rpartition(b"/")[2].decode("ascii")


Take = Callable[[Answer, float], None]
"""Takes an answer and how many seconds it took. May raise `Unexpected`, which ends the flow."""


async def drive(clock: Clock, connections: Sequence[Connection], requests: Iterable[bytes], take: Take) -> None:
    """Return when every request is answered. Raises `ConnectionLost`, and `Unexpected` of `take`."""
    await _Flow(clock, requests, take).run(connections)


class _Flow:
    """Sends requests over many connections, the next one as soon as a connection is free; all in callbacks."""

    def __init__(self, clock: Clock, requests: Iterable[bytes], take: Callable[[Answer, float], None]) -> None:
        self.now = clock.steady
        self._requests = iter(requests)
        self._take = take
        self._busy = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, connections: Sequence[Connection]) -> None:
        """Return when every request is answered. Raises `ConnectionLost`, and what `take` raises."""
        self._busy = len(connections)
        for connection in connections:
            _Stream(self, connection).next()
        await self._done

    def following(self) -> bytes | None:
        """The next request; None when there are no more."""
        request = next(self._requests, None)
        if request is None:
            self._busy -= 1
            if not self._busy and not self._done.done():
                self._done.set_result(None)
        return request

    def answered(self, answer: Answer | None, begun: float) -> bool:
        """Hand an answer over; False once the flow has failed."""
        if self._done.done():
            return False
        try:
            if answer is None:
                raise ConnectionLost("the system under test closed a connection")
            self._take(answer, self.now() - begun)
        except (ConnectionLost, Unexpected) as error:
            self._done.set_exception(error)
            return False
        return True


class _Stream:
    """One connection of a flow."""

    __slots__ = ("_begun", "_connection", "_flow")

    def __init__(self, flow: _Flow, connection: Connection) -> None:
        self._flow = flow
        self._connection = connection
        self._begun = 0.0

    def next(self) -> None:
        request = self._flow.following()
        if request is not None:
            self._begun = self._flow.now()
            self._connection.ask(request, self._answered)

    def _answered(self, answer: Answer | None) -> None:
        if self._flow.answered(answer, self._begun):
            self.next()
