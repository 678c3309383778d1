"""A DELETE that lands on the wrong process still stops the work: real servers with 4 workers, real registries."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.service_process import ServiceProcess, Witness, gunicorn, htq_headers, new_task_id, stop_headers, uvicorn

TESTS = Path(__file__).parents[1]
WORKERS = 4


class Deployment(NamedTuple):
    command: list[str]
    path: str


DEPLOYMENTS = {
    "plain": Deployment(uvicorn("service.apps.plain:app", TESTS, WORKERS), "/work"),
    "starlette": Deployment(uvicorn("service.apps.with_starlette:app", TESTS, WORKERS), "/coroutine"),
    "fastapi": Deployment(uvicorn("service.apps.with_fastapi:app", TESTS, WORKERS), "/coroutine"),
    "fastapi-thread": Deployment(uvicorn("service.apps.with_fastapi:app", TESTS, WORKERS), "/thread-with-callback"),
    "django-asgi": Deployment(uvicorn("service.apps.with_django:asgi", TESTS, WORKERS), "/coroutine"),
    "flask": Deployment(gunicorn("service.apps.with_flask:app", TESTS, WORKERS), "/callback"),
    "django-wsgi": Deployment(gunicorn("service.apps.with_django:wsgi", TESTS, WORKERS), "/callback"),
}


@pytest.fixture(scope="module", params=["postgres", "redis"])
def registry_url(request: pytest.FixtureRequest, postgres: PostgresServer, redis: RedisServer) -> str:
    return postgres.dsn if request.param == "postgres" else redis.url


@pytest.fixture(scope="module")
def shared_witness() -> Iterator[Witness]:
    with Witness() as witness:
        yield witness


@pytest.fixture(scope="module", params=list(DEPLOYMENTS))
def service(
    request: pytest.FixtureRequest, registry_url: str, shared_witness: Witness
) -> Iterator[tuple[ServiceProcess, str]]:
    deployment = DEPLOYMENTS[request.param]
    environment = {"REGISTRY": registry_url, "WITNESS": shared_witness.address}
    with ServiceProcess(deployment.command, environment) as process:
        yield process, deployment.path


def test_a_stop_that_lands_on_the_wrong_process_stops_the_work(
    service: tuple[ServiceProcess, str], shared_witness: Witness
) -> None:
    process, path = service
    task = new_task_id()
    runs, stops = process.wires_to_two_workers()
    with runs, stops:
        runs.send("POST", path, htq_headers(task), b"{}")
        work = shared_witness.begun()
        assert work.is_held()
        assert stops.call("DELETE", path, stop_headers(task)).stop == (204, "stopped")
        work.wait_gone()
        # Repeated, as htq does when the first answer was lost: still the truth.
        assert stops.call("DELETE", path, stop_headers(task)).stop == (204, "stopped")


def test_a_request_that_comes_after_its_own_cancel_is_not_run_in_any_process(
    service: tuple[ServiceProcess, str], shared_witness: Witness
) -> None:
    process, path = service
    task = new_task_id()
    runs, stops = process.wires_to_two_workers()
    with runs, stops:
        assert stops.call("DELETE", path, stop_headers(task)).stop == (404, None)
        assert runs.call("POST", path, htq_headers(task), b"{}").status == 409
        # The next attempt is another one: it runs.
        runs.send("POST", path, htq_headers(task, 2), b"{}")
        shared_witness.begun().release()
        runs.response()
    assert not shared_witness.has_begun()


def test_a_stop_with_other_credentials_is_unknown_everywhere(
    service: tuple[ServiceProcess, str], shared_witness: Witness
) -> None:
    process, path = service
    task = new_task_id()
    runs, stops = process.wires_to_two_workers()
    with runs, stops:
        runs.send("POST", path, htq_headers(task, authorization="Bearer mine"), b"{}")
        work = shared_witness.begun()
        assert stops.call("DELETE", path, stop_headers(task)).stop == (404, None)
        assert stops.call("DELETE", path, stop_headers(task, authorization="Bearer other")).stop == (404, None)
        assert work.is_held()
        assert stops.call("DELETE", path, stop_headers(task, authorization="Bearer mine")).stop == (204, "stopped")
        work.wait_gone()


def test_workers_that_take_one_request_at_a_time_are_reached_as_well(
    registry_url: str, shared_witness: Witness
) -> None:
    """gunicorn's sync workers: the one that is busy can't answer anything, so every stop lands on another."""
    command = gunicorn("service.apps.with_flask:app", TESTS, WORKERS, threads=1)
    task = new_task_id()
    with (
        ServiceProcess(command, {"REGISTRY": registry_url, "WITNESS": shared_witness.address}) as process,
        process.wire() as runs,
        process.wire() as stops,
    ):
        runs.send("POST", "/callback", htq_headers(task), b"{}")
        work = shared_witness.begun()
        assert stops.call("DELETE", "/callback", stop_headers(task)).stop == (204, "stopped")
        work.wait_gone()
