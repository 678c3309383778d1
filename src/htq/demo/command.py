"""`htq demo`: sets the stage, runs the tour, clears away."""

import argparse
import asyncio
import signal
import sys
from typing import TextIO

from htq.demo.caller import Caller
from htq.demo.screen import Screen
from htq.demo.service import ExampleService
from htq.demo.system import queue_running
from htq.demo.tour import Beat, Tour
from htq.words.clock import Clock, SystemClock
from htq.words.errors import HtqError

__all__ = ["run"]

_FAST = 0.3
_READING = 1.4
"""Seconds at the end of a step."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="htq demo",
        description="A guided tour of about 20 seconds: real requests to a slow example service, queued, watched, canceled. "
        "It runs on this machine alone, ends by itself and leaves nothing behind.",
    )
    parser.add_argument("--fast", action="store_true", help="no time to read")
    parser.add_argument("--pause", action="store_true", help="wait for the Enter key after each step")
    return parser


def run(argv: list[str]) -> int:
    """The tour: 0 at its end, 1 if the system did not do what was to be shown, 130 when interrupted."""
    given = _parser().parse_args(argv)
    screen = Screen(sys.stdout)
    try:
        asyncio.run(_tour(screen, SystemClock(), fast=given.fast, pause=given.pause))
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("Interrupted: the queue and the service are stopped, and nothing of them is left.")
        return 130
    except (HtqError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise  # nobody reads what the tour shows: the command line ends without another word
        sys.stderr.write(f"htq demo: {error}\n")
        return 1
    return 0


async def _tour(screen: Screen, clock: Clock, *, fast: bool, pause: bool) -> None:
    _end_in_order()
    service = ExampleService(clock)
    await service.start()
    try:
        async with queue_running(clock) as port:
            beat = (
                _enter(screen, sys.stdin) if pause and sys.stdin.isatty() else _rest(clock, 0.0 if fast else _READING)
            )
            await Tour(screen, Caller(port), service, clock, pace=_FAST if fast else 1.0, beat=beat).run()
    finally:
        await service.close()


def _end_in_order() -> None:
    """A SIGTERM, or a terminal that is closed, ends the tour as a Control-C does: through every `finally`."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _rest(clock: Clock, seconds: float) -> Beat:
    async def beat() -> None:
        await clock.sleep(seconds)

    return beat


def _enter(screen: Screen, keyboard: TextIO) -> Beat:
    async def beat() -> None:
        screen.prompt("Enter goes on, Control-C ends it.")
        loop = asyncio.get_running_loop()
        pressed = asyncio.Event()
        # Not a thread that reads: it could not be ended by Control-C.
        loop.add_reader(keyboard, pressed.set)
        try:
            await pressed.wait()
        finally:
            loop.remove_reader(keyboard)
        keyboard.readline()

    return beat
