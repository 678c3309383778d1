"""The services that execute SQL: a cancel ends the statement, seen in pg_stat_activity."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from support.postgres_server import PostgresServer
from support.service_process import ServiceProcess, gunicorn, htq_headers, new_task_id, stop_headers, uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKERS = 4

SERVICES = {
    "flask": (gunicorn("service:app", EXAMPLES / "postgres_flask", WORKERS, threads=10), "%s"),
    "fastapi": (uvicorn("service:app", EXAMPLES / "postgres_fastapi", WORKERS), "$1"),
}


@pytest.fixture(scope="module", params=list(SERVICES))
def service(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[tuple[ServiceProcess, str]]:
    command, placeholder = SERVICES[request.param]
    with ServiceProcess(command, {"DATABASE_URL": postgres.dsn}) as process:
        yield process, placeholder


def body(statement: str, *parameters: object) -> bytes:
    return json.dumps({"statement": statement, "parameters": parameters}).encode()


def wait_until_it_executes(watcher: psycopg.Connection, marker: str) -> None:
    for _ in range(400):
        if is_executing(watcher, marker):
            return
        watcher.execute("SELECT pg_sleep(0.05)")  # the database waits, not the test
    raise AssertionError("the statement was never seen in pg_stat_activity")


def is_executing(watcher: psycopg.Connection, marker: str) -> bool:
    return bool(
        watcher.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
            (f"%{marker}%",),
        ).fetchall()
    )


def test_a_statement_is_executed_and_its_rows_come_back(service: tuple[ServiceProcess, str]) -> None:
    process, placeholder = service
    with process.wire() as wire:
        answer = wire.call("POST", "/", htq_headers(new_task_id()), body(f"SELECT {placeholder}::int + 1, 'b'", 1))
    assert (answer.status, json.loads(answer.body)) == (200, [[2, "b"]])


def test_a_statement_that_fails_is_a_400_with_its_message(service: tuple[ServiceProcess, str]) -> None:
    process, _ = service
    with process.wire() as wire:
        answer = wire.call("POST", "/", htq_headers(new_task_id()), body("SELECT nonsense"))
    assert answer.status == 400
    assert b"nonsense" in answer.body


def test_a_canceled_statement_vanishes_from_pg_stat_activity(
    service: tuple[ServiceProcess, str], postgres: PostgresServer
) -> None:
    process, placeholder = service
    task, other = new_task_id(), new_task_id()
    with process.wire() as runs, process.wire() as stays, process.wire() as stops, postgres.connect() as watcher:
        runs.send("POST", "/", htq_headers(task), body(f"SELECT pg_sleep({placeholder}) /* the_one */", 60))
        stays.send("POST", "/", htq_headers(other), body(f"SELECT pg_sleep({placeholder}) /* another */", 60))
        wait_until_it_executes(watcher, "the_one")
        wait_until_it_executes(watcher, "another")

        assert stops.call("DELETE", "/", stop_headers(task)).stop == (204, "stopped")

        # By now, not some time later: that is what `stopped` says.
        assert not is_executing(watcher, "the_one")
        assert is_executing(watcher, "another")
        assert runs.response().status == 499
        assert stops.call("DELETE", "/", stop_headers(other)).stop == (204, "stopped")
        assert not is_executing(watcher, "another")
        # The service goes on as if nothing had been.
        answer = stops.call("POST", "/", htq_headers(new_task_id()), body("SELECT 1"))
        assert (answer.status, answer.body.strip()) == (200, b"[[1]]")


def test_a_stop_in_any_process_finds_the_statement(
    service: tuple[ServiceProcess, str], postgres: PostgresServer
) -> None:
    process, placeholder = service
    with postgres.connect() as watcher:
        for number in range(8):
            task = new_task_id()
            with process.wire() as runs, process.wire() as stops:
                marker = f"round_{number}"
                runs.send("POST", "/", htq_headers(task), body(f"SELECT pg_sleep({placeholder}) /* {marker} */", 60))
                wait_until_it_executes(watcher, marker)
                assert stops.call("DELETE", "/", stop_headers(task)).stop == (204, "stopped")
                assert not is_executing(watcher, marker)
