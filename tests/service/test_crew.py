"""The threads that callbacks run in."""

import threading

from htq.service.crew import Crew


def test_no_more_threads_than_its_size_and_none_when_there_is_nothing_to_do() -> None:
    crew = Crew(size=3)
    go_on, all_done = threading.Event(), threading.Event()
    lock = threading.Lock()
    seen: set[threading.Thread] = set()
    done: list[int] = []

    def job(number: int) -> None:
        go_on.wait(20)
        with lock:
            seen.add(threading.current_thread())
            done.append(number)
            if len(done) == 20:
                all_done.set()

    for number in range(20):
        crew.submit(lambda number=number: job(number))  # type: ignore[misc]
    go_on.set()
    assert all_done.wait(20)
    for thread in seen:
        thread.join(20)
    assert sorted(done) == list(range(20))
    assert 1 <= len(seen) <= 3
    assert not any(thread.is_alive() for thread in seen)


def test_a_job_that_hangs_does_not_keep_the_process_alive() -> None:
    hang, running = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def job() -> None:
        threads.append(threading.current_thread())
        running.set()
        hang.wait(20)

    Crew().submit(job)
    assert running.wait(20)
    assert threads[0].daemon
    hang.set()
    threads[0].join(20)
