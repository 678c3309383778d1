"""What becomes of the work in each framework and kind of handler: real servers of one process."""

from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from support.service_process import ServiceProcess, Witness, gunicorn, htq_headers, new_task_id, stop_headers, uvicorn

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    with Witness() as witness:
        yield witness


def serve(command: list[str], witness: Witness, **env: str) -> ServiceProcess:
    return ServiceProcess(command, {"WITNESS": witness.address, **env})


@pytest.fixture(scope="module")
def fastapi(witness: Witness) -> Iterator[ServiceProcess]:
    with serve(uvicorn("service.apps.with_fastapi:app", TESTS), witness) as process:
        yield process


@pytest.fixture(scope="module")
def flask(witness: Witness) -> Iterator[ServiceProcess]:
    with serve(gunicorn("service.apps.with_flask:app", TESTS, threads=8), witness) as process:
        yield process


@pytest.fixture(scope="module")
def django(witness: Witness) -> Iterator[ServiceProcess]:
    with serve(uvicorn("service.apps.with_django:asgi", TESTS), witness) as process:
        yield process


def check_stopped(service: ServiceProcess, witness: Witness, path: str) -> None:
    task = new_task_id()
    with service.wire() as runs, service.wire() as stops:
        runs.send("POST", path, htq_headers(task), b"{}")
        work = witness.begun()
        assert work.is_held()
        assert stops.call("DELETE", path, stop_headers(task)).stop == (204, "stopped")
        work.wait_gone()


def check_still_stopping(service: ServiceProcess, witness: Witness, path: str) -> None:
    task = new_task_id()
    with service.wire() as runs, service.wire() as stops:
        runs.send("POST", path, htq_headers(task), b"{}")
        work = witness.begun()
        assert stops.call("DELETE", path, stop_headers(task)).stop == (202, None)
        assert work.is_held()
        work.release()
        work.wait_gone()
        # A round trip or more later it has been noticed.
        answers = (stops.call("DELETE", path, stop_headers(task)).stop for _ in range(200))
        assert (204, "stopped") in answers


@pytest.mark.parametrize("path", ["/coroutine", "/thread-with-callback", "/thread-that-looks"])
def test_fastapi_stops(fastapi: ServiceProcess, witness: Witness, path: str) -> None:
    check_stopped(fastapi, witness, path)


def test_fastapi_does_not_claim_that_a_def_endpoint_stopped(fastapi: ServiceProcess, witness: Witness) -> None:
    check_still_stopping(fastapi, witness, "/thread")


@pytest.mark.parametrize("path", ["/coroutine", "/callback"])
def test_django_under_asgi_stops(django: ServiceProcess, witness: Witness, path: str) -> None:
    check_stopped(django, witness, path)


def test_django_under_asgi_does_not_claim_that_a_sync_view_stopped(django: ServiceProcess, witness: Witness) -> None:
    check_still_stopping(django, witness, "/thread")


@pytest.mark.parametrize("path", ["/callback", "/looks"])
def test_flask_stops(flask: ServiceProcess, witness: Witness, path: str) -> None:
    check_stopped(flask, witness, path)


def test_flask_does_not_claim_that_a_view_without_a_callback_stopped(flask: ServiceProcess, witness: Witness) -> None:
    check_still_stopping(flask, witness, "/thread")


def test_starlette_stops_through_a_middleware_of_its_own(witness: Witness) -> None:
    with serve(uvicorn("service.apps.with_starlette:app", TESTS), witness) as service:
        check_stopped(service, witness, "/coroutine")


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_stream_breaks_off(framework: str, witness: Witness, request: pytest.FixtureRequest) -> None:
    service: ServiceProcess = request.getfixturevalue(framework)
    task = new_task_id()
    with service.wire() as runs, service.wire() as stops:
        runs.send("POST", "/stream", htq_headers(task), b"{}")
        response = runs.response()
        assert response.readline() in (b"first\n", b"part\n")
        work = witness.begun()
        assert stops.call("DELETE", "/stream", stop_headers(task)).stop == (204, "stopped")
        work.wait_gone()
        with pytest.raises(HTTPException):
            response.read()


def test_a_request_that_the_client_abandons_is_stopped_where_asked(witness: Witness) -> None:
    with serve(uvicorn("service.apps.plain:app", TESTS), witness, STOP_ON_DISCONNECT="1") as service:
        with service.wire() as runs:
            runs.send("POST", "/work", htq_headers(new_task_id()), b"{}")
            work = witness.begun()
        work.wait_gone()


def test_flask_sees_that_the_client_has_gone_where_asked(witness: Witness) -> None:
    with serve(gunicorn("service.apps.with_flask:app", TESTS), witness, STOP_ON_DISCONNECT="1") as service:
        with service.wire() as runs:
            runs.send("POST", "/looks", htq_headers(new_task_id()), b"{}")
            work = witness.begun()
        work.wait_gone()
