"""The registries over their real servers: two processes' worth of them in one process, and what happens when the server is away."""

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import pytest

from htq.service import Away, PostgresRegistry, RedisRegistry
from htq.service.contract import Answer, Ticket
from htq.service.run import Run
from htq.service.runs import Runs
from htq.service.shared import SharedRegistry
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.service_process import new_task_id

pytestmark = pytest.mark.timeout(60)

WITHIN = 10.0
Make = Callable[[], SharedRegistry]


@pytest.fixture(params=["postgres", "redis"])
def make(request: pytest.FixtureRequest, postgres: PostgresServer, redis: RedisServer) -> Make:
    if request.param == "postgres":
        return lambda: PostgresRegistry(postgres.dsn)
    return lambda: RedisRegistry(redis.url)


class Peer:
    """A process of a service, as far as the registry can tell."""

    def __init__(self, registry: SharedRegistry) -> None:
        self.registry = registry
        self.runs = Runs()
        registry.attach(self.runs.cancel)

    def begin(self, ticket: Ticket) -> tuple[Run, Future[bool]]:
        run = Run(ticket)
        assert self.runs.begin(run)
        return run, self.registry.begin(ticket)

    def end(self, run: Run) -> None:
        self.runs.end(run)
        self.registry.end(run.ticket, canceled=run.is_asked())


@contextmanager
def peer(make: Make) -> Iterator[Peer]:
    registry = make()
    try:
        yield Peer(registry)
    finally:
        registry.close()
        assert "htq-registry" not in {thread.name for thread in threading.enumerate() if thread is registry._thread}


def new_ticket() -> Ticket:
    return Ticket(new_task_id(), 1, b"d" * 32)


def asked(cancel: "Future[Answer]") -> Answer:
    return cancel.result(WITHIN)


def test_a_stop_reaches_the_process_that_runs_it(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        run, begun = one.begin(ticket)
        assert begun.result(WITHIN)
        run.on_cancel(lambda: True)
        assert asked(other.registry.cancel(ticket)) == "stopped"
        assert run.is_asked()
        one.end(run)


def test_one_that_does_not_end_is_still_stopping_within_a_second(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        run, begun = one.begin(ticket)
        begun.result(WITHIN)
        assert asked(other.registry.cancel(ticket)) == "stopping"
        assert run.is_asked()
        one.end(run)
        while asked(other.registry.cancel(ticket)) != "stopped":
            pass  # the end is noted a moment later


def test_what_nobody_runs_is_unknown_and_refused_everywhere_from_then_on(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        assert asked(one.registry.cancel(ticket)) == "unknown"
        for process in (one, other):
            assert process.registry.begin(ticket).result(WITHIN) is False
            process.registry.end(ticket, canceled=False)


def test_what_has_ended_is_unknown(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        run, begun = one.begin(ticket)
        begun.result(WITHIN)
        one.end(run)
        # Behind the end in the same queue: when it is done the end has been noted.
        assert one.registry.begin(new_ticket()).result(WITHIN)
        assert one.registry.begin(new_ticket()).result(WITHIN)
        assert asked(other.registry.cancel(ticket)) == "unknown"


def test_other_credentials_are_another_ticket(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        run, begun = one.begin(ticket)
        begun.result(WITHIN)
        assert asked(other.registry.cancel(ticket._replace(digest=b"x" * 32))) == "unknown"
        assert not run.is_asked()


def test_an_entry_of_a_process_that_died_is_believed_only_for_a_while(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("postgres", "redis"):
        monkeypatch.setattr(f"htq.service.{module}.LEASE_SECONDS", 0.0)
    with peer(make) as one, peer(make) as other:
        ticket = new_ticket()
        run, begun = one.begin(ticket)
        begun.result(WITHIN)
        assert asked(other.registry.cancel(ticket)) == "unknown"
        assert not run.is_asked()


def test_begin_and_cancel_at_once_never_miss_each_other(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        one.registry.begin(new_ticket()).result(WITHIN)
        other.registry.begin(new_ticket()).result(WITHIN)
        missed = 0
        for _ in range(200):
            ticket = new_ticket()
            run, begun = one.begin(ticket)
            run.on_cancel(lambda: True)
            cancel = other.registry.cancel(ticket)
            refused = begun.result(WITHIN) is False
            missed += not refused and asked(cancel) == "unknown"
            one.end(run)
        assert missed == 0


def test_five_hundred_at_once_are_all_told_apart(make: Make) -> None:
    with peer(make) as one, peer(make) as other:
        begun = [one.begin(new_ticket()) for _ in range(500)]
        assert all(future.result(WITHIN) for _, future in begun)
        told: queue.Queue[object] = queue.Queue()
        for run, _ in begun:
            run.on_cancel(partial(_tell, told, run.ticket))
        stops = [other.registry.cancel(run.ticket) for run, _ in begun]
        # On a slow machine some of so many are still stopping when the asker's second is over.
        assert {asked(stop) for stop in stops} <= {"stopped", "stopping"}
        heard = [told.get(timeout=WITHIN) for _ in begun]
        assert sorted(map(str, heard)) == sorted(str(run.ticket) for run, _ in begun)
        assert told.empty()


def _tell(told: "queue.Queue[object]", ticket: object) -> bool:
    told.put(ticket)
    return True


def start_server(kind: str) -> PostgresServer | RedisServer:
    return PostgresServer() if kind == "postgres" else RedisServer(appendonly=False)


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_requests_run_while_the_server_is_away_and_stops_are_heard_when_it_is_back(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with start_server(kind) as server:

        def connect() -> SharedRegistry:
            return PostgresRegistry(server.dsn) if isinstance(server, PostgresServer) else RedisRegistry(server.url)

        with peer(connect) as one, peer(connect) as other:
            before, begun = one.begin(new_ticket())
            assert begun.result(WITHIN)
            assert other.registry.begin(new_ticket()).result(WITHIN)
            server.kill()

            # Both notice sooner or later; a call that comes in between fails, and none hangs.
            for process in (one, other):
                while process.registry.begin(new_ticket()).exception(WITHIN) is None:
                    pass
            during, begun = one.begin(new_ticket())
            with pytest.raises(Away):
                begun.result(WITHIN)
            with pytest.raises(Away):
                other.registry.cancel(new_ticket()).result(WITHIN)
            assert caplog.text.count("the registry is away") == 2  # once each, not once a request

            server.start()
            for run in (before, during):
                run.on_cancel(lambda: True)
                answer: Answer | None = None
                while answer != "stopped":
                    try:
                        answer = asked(other.registry.cancel(run.ticket))
                    except Away:
                        continue
                    if answer == "unknown":  # its process is not back yet
                        answer = None
                assert run.is_asked()


def test_a_server_that_hangs_holds_nobody_up() -> None:
    with RedisServer(appendonly=False) as server, peer(lambda: RedisRegistry(server.url)) as one:
        assert one.registry.begin(new_ticket()).result(WITHIN)
        server.freeze()
        assert isinstance(one.registry.begin(new_ticket()).exception(WITHIN), Away)
        server.thaw()
        while one.registry.begin(new_ticket()).exception(WITHIN) is not None:
            pass


def test_a_closed_registry_stops_nobody(make: Make) -> None:
    registry = make()
    registry.attach(lambda _: [])
    registry.close()
    with pytest.raises(Away):
        registry.begin(new_ticket()).result(WITHIN)
    registry.end(new_ticket(), canceled=False)
    registry.close()


FORK = """
import os, sys, threading
from htq.service import PostgresRegistry, RedisRegistry
from htq.service.contract import Ticket
from htq.service.run import Run
from htq.service.runs import Runs

url = sys.argv[1]
registry = PostgresRegistry(url) if url.startswith("postgresql") else RedisRegistry(url)
runs = Runs()
registry.attach(runs.cancel)
assert registry.begin(Ticket("parent", 1, b"d")).result(10)
ticket = Ticket("child-of-%d" % os.getpid(), 1, b"d")
read, write = os.pipe()
over, end = os.pipe()
child = os.fork()
if child == 0:
    stopped = threading.Event()
    run = Run(ticket)
    assert runs.begin(run)
    assert registry.begin(ticket).result(10)
    run.on_cancel(lambda: stopped.set() or True)
    os.write(write, b"r")
    heard = stopped.wait(10)
    os.read(over, 1)
    os._exit(0 if heard else 1)
os.read(read, 1)
print(registry.cancel(ticket).result(10))
os.write(end, b"e")
registry.close()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_registry_that_was_used_before_a_fork_starts_anew_in_the_child(
    postgres: PostgresServer, redis: RedisServer
) -> None:
    for url in (postgres.dsn, redis.url):
        done = subprocess.run(
            [sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def test_the_callers_loop_is_not_needed(make: Make) -> None:
    """A handler that blocks its event loop does not keep a stop from being heard."""

    async def blocks() -> Answer:
        with peer(make) as one, peer(make) as other:
            ticket = new_ticket()
            run, begun = one.begin(ticket)
            begun.result(WITHIN)  # blocks
            run.on_cancel(lambda: True)
            return asked(other.registry.cancel(ticket))

    assert asyncio.run(blocks()) == "stopped"
