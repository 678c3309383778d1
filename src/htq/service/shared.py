"""A registry over a board: the part that is the same for PostgreSQL and Redis.

One thread a process, with an event loop of its own: a handler that blocks the application's loop, or holds its only
thread, does not keep a stop from being heard. It starts with the first use, after any fork. Calls that come while
the board is busy go to it together, in one step.

What if a word is lost, or the connection: the marks stay, and every process looks at those of what it runs when it connects
and each time it confirms its entries. What if a process dies: nobody confirms its entries.
"""

import asyncio
import atexit
import contextlib
import json
import logging
import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from htq.service.board import LEASE_SECONDS, Board
from htq.service.contract import WAIT_SECONDS, Answer, Ticket, combine
from htq.service.registry import Away, Stop
from htq.service.tempo import settled

__all__ = ["SharedRegistry"]

_log = logging.getLogger("htq.service")

_VERB_SECONDS = 1.0
"""A verb of the board that takes longer has lost its connection."""
_OTHERS_WAIT_SECONDS = WAIT_SECONDS * 0.8
"""What another process may wait for its proof, so that its answer is back in time."""
_MOST_BACK_OFF = 5.0
_MARKS_TO_SWEEP = 1000
"""Marks after which the expired ones are swept before their time: anybody can send stops for what never was."""


class _Inbox:
    """What the application's threads have asked for since the loop last looked."""

    __slots__ = ("begins", "cancels", "ends")

    def __init__(self) -> None:
        self.begins: list[tuple[Ticket, Future[bool]]] = []
        self.ends: dict[Ticket, bool] = {}
        self.cancels: list[tuple[Ticket, Future[Answer]]] = []


class _Question:
    """A stop that other processes were asked for: their answers so far."""

    def __init__(self, processes: tuple[str, ...], asked: Future[Answer]) -> None:
        self._missing = set(processes)
        self._answers: list[Answer] = []
        self._asked = asked

    def answered(self, process: str, answer: Answer) -> bool:
        """Whether that was the last one."""
        if process in self._missing:
            self._missing.discard(process)
            self._answers.append(answer)
            if not self._missing:
                self.close()
        return self._asked.done()

    def close(self) -> None:
        """Time is up: who has not answered is still stopping, as far as anybody knows."""
        if not self._asked.done():
            self._asked.set_result("stopping" if self._missing else combine(self._answers))


class SharedRegistry(ABC):
    """See `htq.service.registry.Registry`. Give each application one of its own."""

    def __init__(self) -> None:
        self._stop: Stop = lambda _: []
        self._lock = threading.Lock()
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    @abstractmethod
    async def _open(self, process: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Board:
        """Connect. `hear` is called with each text told to `process`, `lost` when the connection is; both on the loop."""

    def _start_anew(self) -> None:
        # In a fork: the thread, its loop and its connections belong to the parent.
        self._lock = threading.Lock()
        self._state: Literal["new", "up", "away", "closed"] = "new"
        self._process = secrets.token_hex(12)
        self._inbox = _Inbox()
        self._held: Counter[Ticket] = Counter()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._lost = False
        self._questions: dict[str, _Question] = {}
        self._outbox: list[tuple[str, str]] = []
        self._obeying: set[asyncio.Task[None]] = set()
        self._marks = 0
        self._failures = 0

    # What the middleware calls, in any thread.

    def attach(self, stop: Stop) -> None:
        self._stop = stop

    def begin(self, ticket: Ticket) -> Future[bool]:
        begun: Future[bool] = Future()
        with self._lock:
            self._held[ticket] += 1
            if self._reachable():
                self._inbox.begins.append((ticket, begun))
            else:
                begun.set_exception(Away())
        self._nudge()
        return begun

    def end(self, ticket: Ticket, *, canceled: bool) -> None:
        with self._lock:
            self._held[ticket] -= 1
            if self._held[ticket] <= 0:
                del self._held[ticket]
            if self._state in ("new", "up"):
                self._inbox.ends[ticket] = canceled or self._inbox.ends.get(ticket, False)
        self._nudge()

    def cancel(self, ticket: Ticket) -> Future[Answer]:
        asked: Future[Answer] = Future()
        with self._lock:
            if self._reachable():
                self._inbox.cancels.append((ticket, asked))
            else:
                asked.set_exception(Away())
        self._nudge()
        return asked

    def close(self) -> None:
        with self._lock:
            self._state = "closed"
            thread = self._thread
        self._nudge()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_VERB_SECONDS)
        atexit.unregister(self.close)

    def _reachable(self) -> bool:
        """Under the lock. Starts the thread if there is none."""
        if self._state == "closed":
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="htq-registry", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        return self._state != "away"

    def _nudge(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(wake.set)

    # What runs in the registry's own thread.

    def _live(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._wake.set()  # for what was asked for before there was anything to nudge
        while self._state != "closed":
            try:
                await self._connected()
            except Exception as error:  # drivers have no common base: whatever it was, connect anew
                if self._state != "away":
                    _log.warning("the registry is away, requests run without it: %s: %s", type(error).__name__, error)
                self._give_up()
                self._failures += 1
                await self._back_off(min(_MOST_BACK_OFF, 0.05 * 2**self._failures))
        self._give_up()
        for task in self._obeying:
            task.cancel()
        await asyncio.gather(*self._obeying, return_exceptions=True)

    async def _back_off(self, seconds: float) -> None:
        # Somewhere between the half and the whole, so that the processes don't all come back at once.
        until = asyncio.get_running_loop().time() + seconds * (1 + secrets.randbelow(1000) / 1000) / 2
        assert self._wake is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self._state != "closed":
                    self._wake.clear()
                    await self._wake.wait()

    def _give_up(self) -> None:
        """Nobody can be asked now: say so to all who wait, and to all who come until the next connection."""
        with self._lock:
            if self._state != "closed":
                self._state = "away"
            inbox, self._inbox = self._inbox, _Inbox()
        for _, begun in inbox.begins:
            begun.set_exception(Away())
        for _, asked in inbox.cancels:
            asked.set_exception(Away())
        for question in self._questions.values():
            question.close()
        self._questions.clear()
        self._outbox.clear()

    async def _connected(self) -> None:
        """From a connection to its loss (an exception), or until this is closed."""
        self._lost = False
        async with asyncio.timeout(_VERB_SECONDS * 2):
            board = await self._open(self._process, self._hear, self._on_lost)
        try:
            with self._lock:
                if self._state == "away":
                    _log.info("the registry is back")
                if self._state != "closed":
                    self._state = "up"
            self._failures = 0
            await self._serve(board)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_VERB_SECONDS):
                    await board.close()

    async def _serve(self, board: Board) -> None:
        assert self._wake is not None
        now = asyncio.get_running_loop().time
        confirm_at = now()
        while True:
            self._wake.clear()
            if self._lost:
                message = "the connection was closed"
                raise ConnectionError(message)
            if now() >= confirm_at or self._marks >= _MARKS_TO_SWEEP:
                await self._confirm(board)
                confirm_at = now() + LEASE_SECONDS / 3
                self._marks = 0
            await self._work_off(board)
            if self._state == "closed":
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(confirm_at):
                    await self._wake.wait()

    async def _confirm(self, board: Board) -> None:
        with self._lock:
            held = list(self._held)
        async with asyncio.timeout(_VERB_SECONDS):
            for ticket in await board.put(held) if held else ():
                self._stop(ticket)
            await board.sweep()

    async def _work_off(self, board: Board) -> None:
        with self._lock:
            inbox, self._inbox = self._inbox, _Inbox()
            ends = {ticket: canceled for ticket, canceled in inbox.ends.items() if ticket not in self._held}
        try:
            async with asyncio.timeout(_VERB_SECONDS):
                if inbox.begins:
                    marked = await board.put({ticket for ticket, _ in inbox.begins})
                    for ticket, begun in inbox.begins:
                        begun.set_result(ticket not in marked)
                if inbox.cancels:
                    await self._ask(board, inbox.cancels)
                if ends:
                    await board.drop(ends)
                while self._outbox:
                    messages, self._outbox = self._outbox, []
                    await board.tell(messages)
        except BaseException:
            for _, begun in inbox.begins:
                if not begun.done():
                    begun.set_exception(Away())
            for _, asked in inbox.cancels:
                if not asked.done():
                    asked.set_exception(Away())
            raise

    async def _ask(self, board: Board, cancels: list[tuple[Ticket, Future[Answer]]]) -> None:
        found = await board.mark({ticket for ticket, _ in cancels})
        self._marks += len(found)
        for ticket, asked in cancels:
            processes, stopped = found[ticket]
            others = tuple(process for process in processes if process != self._process)
            if not others:
                asked.set_result("stopped" if stopped else "unknown")
                continue
            number = secrets.token_hex(8)
            self._questions[number] = _Question(others, asked)
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self._close_question, number)
            stop = {"stop": [ticket.task_id, ticket.attempt, ticket.digest.hex()], "ask": number, "from": self._process}
            self._outbox.extend((process, json.dumps(stop)) for process in others)

    def _close_question(self, number: str) -> None:
        question = self._questions.pop(number, None)
        if question is not None:
            question.close()

    def _on_lost(self) -> None:
        self._lost = True
        self._nudge()

    def _hear(self, text: str) -> None:
        try:
            self._understand(json.loads(text))
        except (ValueError, KeyError, TypeError):
            # Others may write into the channel, and a newer version may say more than this one knows.
            _log.warning("the registry brought a message that can't be read: %.100s", text)

    def _understand(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            task_id, attempt, digest = message["stop"]
            ticket = Ticket(task_id, attempt, bytes.fromhex(digest))
            task = asyncio.get_running_loop().create_task(self._obey(ticket, message["from"], message["ask"]))
            self._obeying.add(task)
            task.add_done_callback(self._obeying.discard)
            return
        question = self._questions.get(message["ask"])
        if question is not None and question.answered(message["from"], message["answer"]):
            del self._questions[message["ask"]]

    async def _obey(self, ticket: Ticket, asker: str, number: str) -> None:
        """Stop it here, wait for the proof, and say what became of it."""
        stops = self._stop(ticket)
        await settled(stops, _OTHERS_WAIT_SECONDS)
        answer = combine("stopped" if stop.done() else "stopping" for stop in stops)
        self._outbox.append((asker, json.dumps({"ask": number, "from": self._process, "answer": answer})))
        self._nudge()
