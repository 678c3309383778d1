"""What both middlewares do in the same way: admit a request, let it go, and take a stop to whoever runs it."""

from concurrent.futures import Future
from typing import NamedTuple

from htq.service.contract import REPLIES, Answer, Reply, Ticket, combine
from htq.service.registry import Registry
from htq.service.run import Run
from htq.service.runs import Runs

__all__ = ["Desk", "Stops"]


class Stops(NamedTuple):
    """A stop that has been passed on."""

    here: list[Future[Answer]]
    """One for each run in this process."""
    elsewhere: Future[Answer] | None
    """The registry's, if there is one."""

    @property
    def futures(self) -> list[Future[Answer]]:
        return self.here if self.elsewhere is None else [*self.here, self.elsewhere]

    def reply(self) -> Reply:
        """The answer, from what the futures say by now."""
        answers: list[Answer] = ["stopped" if stop.done() else "stopping" for stop in self.here]
        if self.elsewhere is None:
            return REPLIES[combine(answers)]
        if self.elsewhere.done() and self.elsewhere.exception() is None:
            return REPLIES[combine([*answers, self.elsewhere.result()])]
        if answers:  # it ran here: a registry that is away or slow doesn't take the proof away
            return REPLIES[combine(answers)]
        return REPLIES["away" if self.elsewhere.done() else "stopping"]


class Desk:
    """The runs of this process, and the registry if there is one."""

    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self._runs = Runs()
        if registry is not None:
            registry.attach(self._runs.cancel)

    def begin(self, run: Run) -> Future[bool] | bool:
        """Whether `run` may start; a future of that where the registry has to be asked. Always followed by `end`."""
        if not self._runs.begin(run):
            return False
        return True if self.registry is None else self.registry.begin(run.ticket)

    @staticmethod
    def may_start(asked: Future[bool]) -> bool:
        """The registry's word, as far as it has come. Without one the request runs: a registry that is away stops nobody."""
        return not asked.done() or asked.cancelled() or asked.exception() is not None or asked.result()

    def end(self, run: Run, *, registered: bool) -> None:
        """The work is over. `registered`: the registry had been told of it."""
        self._runs.end(run)
        if registered and self.registry is not None:
            self.registry.end(run.ticket, canceled=run.is_asked())

    def cancel(self, ticket: Ticket) -> Stops:
        """Ask everybody to stop it. Its futures are to be waited for, `WAIT_SECONDS` at most, before its reply."""
        here = self._runs.cancel(ticket)
        return Stops(here, None if self.registry is None else self.registry.cancel(ticket))
