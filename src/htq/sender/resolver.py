"""Names to addresses, by `getaddrinfo` in threads of our own.

`getaddrinfo` knows /etc/hosts and whatever else the machine is set up with, but can't be canceled. So: few threads, which
are nobody else's and die with the process; a waiter that gives up leaves its look-up behind; the same name is looked up
once for all who wait for it; and answers are kept for a few seconds, since the call tells no TTL.
"""

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from htq.words.clock import Clock
from htq.words.errors import SendError

__all__ = ["Resolver", "SystemResolver"]

KEPT_FOR = 5.0
"""Seconds for which an answer is used again."""

_THREADS = 8
_MOST_KEPT = 1024
_IDLE_THREAD = 10.0

_LookUp = Callable[[str], tuple[str, ...]]
_Job = tuple[str, asyncio.AbstractEventLoop, "asyncio.Future[tuple[str, ...]]"]


class Resolver(Protocol):
    """What turns a host name into addresses."""

    def known(self, host: str) -> tuple[str, ...] | None:
        """The addresses, if they are at hand."""
        ...

    async def resolve(self, host: str) -> tuple[str, ...]:
        """At least one address. Raises `SendError`, reason `dns`."""
        ...

    def close(self) -> None: ...


class SystemResolver:
    """The machine's own resolver."""

    def __init__(self, clock: Clock, look_up: _LookUp | None = None, threads: int = _THREADS) -> None:
        self._clock = clock
        self._look_up = look_up or _getaddrinfo
        self._most_threads = threads
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._looking = 0
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._under_way: dict[str, asyncio.Future[tuple[str, ...]]] = {}
        self._kept: dict[str, tuple[float, tuple[str, ...]]] = {}

    def known(self, host: str) -> tuple[str, ...] | None:
        kept = self._kept.get(host)
        if kept is None:
            return None
        until, addresses = kept
        if self._clock.steady() < until:
            return addresses
        del self._kept[host]
        return None

    async def resolve(self, host: str) -> tuple[str, ...]:
        addresses = self.known(host)
        if addresses is not None:
            return addresses
        future = self._under_way.get(host)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._under_way[host] = loop.create_future()
            future.add_done_callback(lambda done: self._on_answer(host, done))
            self._jobs.put((host, loop, future))
            self._have_a_thread()
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise SendError("dns", f"the name {host} did not resolve: {error.strerror or error}", sent=False) from None

    def close(self) -> None:
        """Let the threads go. One that is inside a look-up ends after it, and the process need not wait for that."""
        for future in self._under_way.values():
            if not future.done():
                future.set_exception(SendError("interrupted", "the sender was closed", sent=False))
        with self._lock:
            threads = list(self._threads)
            stuck = self._looking > 0
        for _ in threads:
            self._jobs.put(None)
        if not stuck:
            for thread in threads:
                thread.join()

    def _on_answer(self, host: str, done: "asyncio.Future[tuple[str, ...]]") -> None:
        del self._under_way[host]
        if not done.cancelled() and done.exception() is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[host] = (self._clock.steady() + KEPT_FOR, done.result())

    def _have_a_thread(self) -> None:
        with self._lock:
            if self._idle >= self._jobs.qsize() or len(self._threads) >= self._most_threads:
                return
            thread = threading.Thread(target=self._work, name="htq-resolver", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        """A thread's life: look names up until there was nothing to do for a while."""
        while (job := self._next()) is not None:
            host, loop, future = job
            try:
                answer: tuple[str, ...] | OSError = self._look_up(host)
            except OSError as error:
                answer = error
            except UnicodeError as error:
                answer = OSError(f"not a name: {error}")
            with self._lock:
                self._looking -= 1
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(_settle, future, answer)

    def _next(self) -> _Job | None:
        """The next look-up; None when this thread has to end, and is counted out already."""
        with self._lock:
            self._idle += 1
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_THREAD)
            except queue.Empty:
                with self._lock:
                    if not self._jobs.empty():
                        continue  # it came in this moment, and whoever put it may count on this thread
                    self._leave()
                    return None
            with self._lock:
                if job is None:
                    self._leave()
                else:
                    self._idle -= 1
                    self._looking += 1
            return job

    def _leave(self) -> None:
        self._idle -= 1
        self._threads.discard(threading.current_thread())


def _settle(future: "asyncio.Future[tuple[str, ...]]", answer: tuple[str, ...] | OSError) -> None:
    if future.done():
        return
    if isinstance(answer, OSError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _getaddrinfo(host: str) -> tuple[str, ...]:
    """In the order of RFC 6724, which the C library sorts by, each address once."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))
