"""Running requests and tombstones, without a server."""

import threading

import pytest

from htq.service.contract import TOMBSTONE_SECONDS, Ticket
from htq.service.run import Run
from htq.service.runs import Runs

MINE, OTHERS = b"m" * 32, b"o" * 32
TICKET = Ticket("task", 1, MINE)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_canceled_run_is_proven_stopped_when_it_has_ended() -> None:
    runs, run = Runs(), Run(TICKET)
    assert runs.begin(run)
    (stop,) = runs.cancel(TICKET)
    assert run.is_canceled()
    assert not stop.done()
    runs.end(run)
    assert stop.result(0) == "stopped"


def test_a_stop_for_another_attempt_or_other_credentials_touches_nothing() -> None:
    runs, run = Runs(), Run(TICKET)
    runs.begin(run)
    assert runs.cancel(Ticket("task", 2, MINE)) == []
    assert runs.cancel(Ticket("task", 1, OTHERS)) == []
    assert runs.cancel(Ticket("other", 1, MINE)) == []
    assert not run.is_canceled()


def test_a_request_after_its_own_cancel_does_not_begin() -> None:
    runs = Runs()
    assert runs.cancel(TICKET) == []
    assert not runs.begin(Run(TICKET))
    assert runs.begin(Run(Ticket("task", 2, MINE)))


def test_a_tombstone_by_a_stranger_refuses_nobody() -> None:
    runs = Runs()
    runs.cancel(Ticket("task", 1, OTHERS))
    assert runs.begin(Run(TICKET))


def test_a_tombstone_is_forgotten_after_a_minute() -> None:
    time = Time()
    runs = Runs(now=time)
    runs.cancel(TICKET)
    time.now = TOMBSTONE_SECONDS - 0.1
    assert not runs.begin(Run(TICKET))
    time.now = TOMBSTONE_SECONDS
    assert runs.begin(Run(TICKET))


def test_a_repeated_stop_keeps_the_tombstone_for_another_minute() -> None:
    time = Time()
    runs = Runs(now=time)
    runs.cancel(TICKET)
    runs.cancel(Ticket("between", 1, MINE))
    time.now = 50.0
    runs.cancel(TICKET)
    time.now = 100.0
    assert not runs.begin(Run(TICKET))
    assert runs.begin(Run(Ticket("between", 1, MINE)))


def test_tombstones_are_bounded_and_the_oldest_goes_first() -> None:
    runs = Runs(most_tombstones=2)
    tickets = [Ticket(name, 1, MINE) for name in ("first", "second", "third")]
    for ticket in tickets:
        runs.cancel(ticket)
    assert [runs.begin(Run(ticket)) for ticket in tickets] == [True, False, False]


def test_a_stop_that_is_repeated_after_the_end_is_still_stopped() -> None:
    runs, run = Runs(), Run(TICKET)
    runs.begin(run)
    runs.cancel(TICKET)
    runs.end(run)
    (stop,) = runs.cancel(TICKET)
    assert stop.result(0) == "stopped"


def test_a_request_that_a_proxy_repeats_is_stopped_in_both_its_runs() -> None:
    runs, first, second = Runs(), Run(TICKET), Run(TICKET)
    assert runs.begin(first)
    assert runs.begin(second)
    stops = runs.cancel(TICKET)
    runs.end(first)
    assert [stop.done() for stop in stops] == [True, False]
    runs.end(second)
    assert [stop.done() for stop in stops] == [True, True]


@pytest.mark.parametrize(("said", "proof"), [(True, True), (None, False), (False, False)])
def test_a_callback_proves_the_end_only_by_saying_so(said: bool | None, proof: bool) -> None:
    run = Run(TICKET)
    ready = run.on_cancel(lambda: said)
    stop = run.cancel()
    ready.finished.result(5)
    run.on_cancel(lambda: None).finished.result(5)  # one thread later the first has been heard as well
    assert stop.done() is proof
    run.end()
    assert stop.result(5) == "stopped"


def test_a_callback_that_fails_takes_the_proof_away(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(TICKET)

    def fails() -> bool:
        raise ValueError("can't")

    callbacks = [run.on_cancel(fails), run.on_cancel(lambda: True)]
    stop = run.cancel()
    for ready in callbacks:
        ready.finished.result(5)
    run.on_cancel(lambda: None).finished.result(5)
    assert not stop.done()
    assert "an on_cancel callback failed" in caplog.text


def test_a_callback_is_called_at_once_if_the_cancel_came_before_it() -> None:
    run = Run(TICKET)
    run.cancel()
    called = threading.Event()
    run.on_cancel(called.set)
    assert called.wait(5)


def test_a_callback_is_called_once_however_often_the_stop_comes() -> None:
    run = Run(TICKET)
    calls: list[None] = []
    ready = run.on_cancel(lambda: calls.append(None))
    assert run.cancel() is run.cancel()
    ready.finished.result(5)
    assert len(calls) == 1


def test_a_callback_that_was_left_is_not_called() -> None:
    run = Run(TICKET)
    calls: list[None] = []
    with run.on_cancel(lambda: calls.append(None)):
        pass
    run.cancel()
    run.on_cancel(lambda: None).finished.result(5)
    assert calls == []


def test_leaving_the_block_waits_for_a_call_that_is_under_way() -> None:
    run = Run(TICKET)
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def stop() -> None:
        begun.set()
        go_on.wait(5)
        order.append("stopped")

    def work() -> None:
        with run.on_cancel(stop):
            begun.wait(5)
            threading.Thread(target=go_on.set).start()
        order.append("left")

    worker = threading.Thread(target=work)
    worker.start()
    while not run._callbacks:
        threading.Event().wait(0.001)
    run.cancel()
    worker.join(5)
    assert order == ["stopped", "left"]


def test_a_coroutine_for_a_callback_needs_a_loop() -> None:
    async def stop() -> None: ...

    with pytest.raises(TypeError, match="event loop"):
        Run(TICKET).on_cancel(stop)
