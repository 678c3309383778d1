"""The service that runs programs: a cancel ends the program and all that it started."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.service_process import ServiceProcess, htq_headers, new_task_id, stop_headers, uvicorn

FOLDER = Path(__file__).parents[2] / "examples" / "subprocess_service"


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(uvicorn("service:app", FOLDER), {}) as process:
        yield process


def wait_for_programs(process: ServiceProcess, how_many: int) -> list[psutil.Process]:
    """What the service has started, as soon as there is that much of it."""
    server = psutil.Process(process.pid)
    with process.wire() as wire:
        for _ in range(2000):
            programs = server.children(recursive=True)
            if len(programs) >= how_many and all("sleep" in p.name() or p.name() in ("sh", "cat") for p in programs):
                return programs
            wire.call("POST", "/unknown")  # a round trip is the pause
    raise AssertionError("the program was never started")


@pytest.mark.parametrize(("program", "processes"), [("nap", 1), ("pipeline", 3), ("stubborn", 2)])
def test_a_canceled_program_is_gone_with_all_that_it_started(
    service: ServiceProcess, program: str, processes: int
) -> None:
    task = new_task_id()
    with service.wire() as runs, service.wire() as stops:
        runs.send("POST", f"/{program}", htq_headers(task))
        started = wait_for_programs(service, processes)

        assert stops.call("DELETE", f"/{program}", stop_headers(task)).stop == (204, "stopped")

        _, alive = psutil.wait_procs(started, timeout=0)
        assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
        assert runs.response().status == 499


def test_a_program_that_ends_by_itself_gives_its_output(service: ServiceProcess) -> None:
    with service.wire() as wire:
        answer = wire.call("POST", "/uname", htq_headers(new_task_id()))
    assert answer.status == 200
    assert answer.body


def test_a_program_that_is_not_on_the_list_is_not_run(service: ServiceProcess) -> None:
    with service.wire() as wire:
        assert wire.call("POST", "/rm", htq_headers(new_task_id())).status == 404
