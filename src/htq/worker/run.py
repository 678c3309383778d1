"""A run: one claimed attempt while this worker has it, and the table of all of them."""

import asyncio
from typing import Any, Literal

from htq.policy.stopping import cancel_link
from htq.sender.base import Exchange
from htq.stores.base import Claim, RunningCancel
from htq.words.attempt import UNSENT_PHASES, Phase

__all__ = ["Ending", "Run", "Running"]

Ending = Literal["canceled", "drained"]
"""Why the worker itself ended an exchange. A lost lease ends it without a word: there is nothing left to say."""


class Run:
    """What the worker knows of an attempt. Only code on the worker's event loop touches it.

    `begun` is set in the attempt's first step. `ending` is set by whoever aborts the exchange, before it does so: the
    attempt reads it to know what it was. `cancel` and `cancel_phase` are set once, by the first that hears of a cancel.
    `stopping` is set once a DELETE for this attempt is in somebody's hands; `delete` sends it, and `stop_begun` is set when its
    first byte leaves. `completed` is set when the reply came whole.
    """

    __slots__ = (
        "begun",
        "cancel",
        "cancel_phase",
        "claim",
        "completed",
        "delete",
        "ending",
        "exchange",
        "stop_begun",
        "stopping",
        "task",
    )

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.exchange = Exchange()
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.ending: Ending | None = None
        self.cancel: RunningCancel | None = None
        self.cancel_phase: Phase | None = None
        self.stopping = False
        self.delete: asyncio.Future[Any] | None = None
        self.stop_begun = False
        self.completed = False

    @property
    def link(self) -> str | None:
        """Where the target said that this request can be canceled."""
        return cancel_link(self.exchange.heard(), self.claim.request.url)

    @property
    def is_unsent(self) -> bool:
        """Whether no byte of the request has left."""
        return self.exchange.phase in UNSENT_PHASES

    def begin(self) -> bool:
        """The attempt's first step; False if there is nothing to do any more."""
        self.begun = True
        return self.ending is None

    def abort(self, ending: Ending) -> None:
        """Close the exchange's connection for good. Harmless when it is over.

        A task that is canceled before its first step never runs: one that has not begun sees `ending` when it does.
        """
        if self.task is not None and not self.task.done() and self.ending is None:
            self.ending = ending
            if self.begun:
                self.task.cancel()


class Running:
    """The runs whose exchange is under way, by task."""

    def __init__(self) -> None:
        self.empty = asyncio.Event()
        self.empty.set()
        self._runs: dict[str, Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run) -> None:
        self._runs[run.claim.uuid] = run
        self.empty.clear()

    def remove(self, run: Run) -> None:
        if self._runs.get(run.claim.uuid) is run:
            del self._runs[run.claim.uuid]
            if not self._runs:
                self.empty.set()

    def find(self, uuid: str, attempt: int) -> Run | None:
        """The run of this very attempt, if its exchange is under way here."""
        run = self._runs.get(uuid)
        return run if run is not None and run.claim.attempt == attempt else None

    def all(self) -> list[Run]:
        """A copy: runs may end while it is gone through."""
        return list(self._runs.values())
