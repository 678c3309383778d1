"""The stop pool: sends the DELETEs that are owed, through slots of their own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from htq.policy.stopping import stop_request
from htq.policy.target import parse_target
from htq.sender.base import Exchange, Message, Sender
from htq.words.attempt import UNSENT_PHASES, Phase
from htq.words.clock import Chance, Clock
from htq.words.errors import SendError
from htq.words.task import DeleteState, Headers, Request, Timeouts

__all__ = ["StopAnswer", "StopExchange", "StopPool"]

log = logging.getLogger("htq.worker")

_TIMEOUTS = Timeouts(total=10.0, connect=3.0)
_MAX_TRIES = 3
_BACKOFF = 0.5
"""Seconds before the second try, at most (full jitter); twice that before the third."""

_MAX_ANSWER = 1024 * 1024

_STATES: Final[dict[int, DeleteState]] = {
    200: "confirmed",
    204: "confirmed",
    202: "accepted",
    404: "gone",
    410: "gone",
    405: "unsupported",
    501: "unsupported",
    401: "refused",
    403: "refused",
}
_AGAIN: Final[frozenset[int]] = frozenset({429, 502, 503, 504})
_AGAIN_REASONS: Final[frozenset[str]] = frozenset({"dns", "connect", "tls", "connection_reused"})


class StopAnswer(NamedTuple):
    """What came of a DELETE. `stopped`: the service said that the work has ended (`HTQ-Cancel: stopped`)."""

    state: DeleteState
    code: int | None
    tries: int
    elapsed_ms: float
    stopped: bool

    @property
    def is_promising(self) -> bool:
        """A 2xx: the service took it, so the request may end by itself."""
        return self.code is not None and 200 <= self.code < 300


class StopExchange(Exchange):
    """The exchange of a DELETE; `begun` is called when its first byte leaves, once."""

    __slots__ = ("_begun", "_phase")

    def __init__(self, begun: Callable[[], None] | None) -> None:
        self._begun = begun
        super().__init__()

    @property
    def phase(self) -> Phase:
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        if self._begun is not None and phase not in UNSENT_PHASES:
            begun, self._begun = self._begun, None
            begun()


class _Lanes:
    """A bounded number of slots for each origin, made when it is asked for and gone with its last user."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._lanes: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    @asynccontextmanager
    async def slot(self, origin: str) -> AsyncIterator[None]:
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = asyncio.Semaphore(self._slots), []
        slots, users = lane
        users.append(None)
        try:
            async with slots:
                yield
        finally:
            users.pop()
            if not users:
                del self._lanes[origin]


class StopPool:
    """Sends DELETEs, a bounded number at once, and to one origin a quarter of that.

    None ever waits for a slot of the requests, nor for a service that hangs on the DELETEs of others.
    """

    def __init__(self, sender: Sender, *, clock: Clock, chance: Chance, slots: int) -> None:
        self._sender = sender
        self._clock = clock
        self._chance = chance
        self._slots = asyncio.Semaphore(slots)
        self._lanes = _Lanes(max(slots // 4, 1))

    async def send(
        self,
        uuid: str,
        attempt: int,
        request: Request,
        until: float,
        link: str | None = None,
        begun: Callable[[], None] | None = None,
    ) -> StopAnswer:
        """Send the DELETE for an attempt, up to 3 tries on connect errors, 429 and 502-504. It does not raise.

        Past `until` (steady seconds) no try begins: later it would hit other work. `link` is the address that the target itself
        named; `begun` is called when the first byte leaves.
        """
        started = self._clock.steady()
        try:
            return await self._send(uuid, attempt, request, until, link, begun)
        except Exception:
            log.exception("[%s] a defect of htq's own ended its DELETE", uuid)
            return StopAnswer("failed", None, 1, self._since(started), stopped=False)

    async def _send(
        self,
        uuid: str,
        attempt: int,
        request: Request,
        until: float,
        link: str | None,
        begun: Callable[[], None] | None,
    ) -> StopAnswer:
        stop = stop_request(request, uuid, attempt, link)
        message = Message(
            method=stop.method,
            url=stop.url,
            headers=stop.headers,
            timeouts=_TIMEOUTS,
            max_response=_MAX_ANSWER,
        )
        origin = parse_target(stop.url).origin
        started = self._clock.steady()
        tries = 0
        code: int | None = None
        headers: Headers = ()
        while tries < _MAX_TRIES:
            if tries:
                await self._clock.sleep(self._chance.below(_BACKOFF * tries))
            async with self._lanes.slot(origin), self._slots:
                if self._clock.steady() > until:
                    return StopAnswer("lapsed", code, tries, self._since(started), stopped=False)
                tries += 1
                code, reason, headers = await self._try(message, StopExchange(begun))
            if not (code in _AGAIN if code is not None else reason in _AGAIN_REASONS):
                break
        stopped = any(name.lower() == "htq-cancel" and value.strip().lower() == "stopped" for name, value in headers)
        return StopAnswer(self._state(code), code, tries, self._since(started), stopped)

    def _since(self, started: float) -> float:
        """Milliseconds."""
        return round((self._clock.steady() - started) * 1000, 2)

    async def _try(self, message: Message, exchange: Exchange) -> tuple[int | None, str | None, Headers]:
        try:
            reply = await self._sender.send(message, exchange)
        except SendError as error:
            return None, error.reason, ()
        return reply.code, None, reply.headers

    def _state(self, code: int | None) -> DeleteState:
        if code is None:
            return "failed"
        return _STATES.get(code, "confirmed" if 200 <= code < 300 else "failed")
