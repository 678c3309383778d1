"""`htq demo` from its first line to its last, with the real system."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from demo.terminal import Terminal

DEMO = (sys.executable, "-m", "htq.demo")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, as temporary folders have it: the queue's sockets lie in there."""
    with TemporaryDirectory() as name:
        yield Path(name)


def _environ(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**kept, "TMPDIR": str(folder), "TERM": "xterm", **more}


def test_tour_shows_what_happens_and_ends(folder: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--fast"], capture_output=True, text=True, timeout=90, env=_environ(folder), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert "\x1b" not in text
    assert "HTTP/1.1 303 See Other" in text
    assert re.search(r"Location: http://127\.0\.0\.1:\d+/[0-9a-f-]{36}/", text)
    assert '"status": "success"' in text
    assert "HTTP/1.1 204 No Content" in text
    assert list(folder.iterdir()) == []


def test_tour_shows_both_halves_of_a_cancel(folder: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--fast"], capture_output=True, text=True, timeout=90, env=_environ(folder), check=True
    )
    waiting, running, stubborn = re.split(r"\n[345]  ", done.stdout.partition("\n2  ")[2])[:3]

    assert "canceled  the service never saw it" in waiting

    [post, delete, stopped, answered, closed] = re.findall(r"\d\.\d\d s  (.*)", running.partition("on the wire")[2])
    assert post == "POST /report/30 arrives, and the work begins"
    assert delete == "DELETE /report/30 arrives, while the POST is still open"
    assert stopped == "the work is stopped; the DELETE is answered 204 No Content"
    assert answered == "the POST is answered 503 Service Unavailable"
    assert closed == "htq closes the connection of the POST"
    [task_id] = set(re.findall(r"HTQ-Task-Id: (\S+)", running))
    assert f"/{task_id}/cancel/" in running
    assert "HTQ-Cancel: requested" in running
    assert '"state": "confirmed"' in running
    assert '"proof": "header"' in running

    assert "htq closes the connection of the POST, unanswered" in stubborn
    assert '"state": "unsupported"' in stubborn
    assert '"proof": "none"' in stubborn


def test_terminal_gets_colors_and_lines_that_fit(folder: Path) -> None:
    with Terminal([*DEMO, "--fast"], _environ(folder), columns=64) as terminal:
        assert terminal.read_to_end() == 0
        assert "\x1b[31mcanceled" in terminal.raw
        too_long = [line for line in terminal.text.split("\n") if len(line) > 64 and "http://" not in line]
        assert [line for line in too_long if "'" not in line] == []


def test_no_color_is_respected_on_a_terminal(folder: Path) -> None:
    with Terminal([*DEMO, "--fast"], _environ(folder, NO_COLOR="1")) as terminal:
        assert terminal.read_to_end() == 0
        assert "\x1b" not in terminal.raw


def test_pause_goes_on_with_enter(folder: Path) -> None:
    with Terminal([*DEMO, "--fast", "--pause"], _environ(folder)) as terminal:
        for step in ("1  Queue", "2  Cancel", "3  Cancel", "4  A service", "5  Your turn"):
            assert step not in terminal.text
            terminal.read_until(r"Enter goes on[^\n]*\n\Z")
            terminal.press("\n")
            terminal.read_until(step)
        assert terminal.read_to_end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_tour_clears_away(folder: Path, number: signal.Signals) -> None:
    with Terminal([*DEMO, "--pause"], _environ(folder)) as terminal:
        terminal.read_until("Enter goes on")
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        assert children
        terminal.process.send_signal(number)
        assert terminal.read_to_end() == 130
        assert "Interrupted" in terminal.text
        assert "Traceback" not in terminal.text
    assert not any(child.is_running() for child in children)
    assert list(folder.iterdir()) == []


def test_reader_that_goes_away_ends_the_tour(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "htq", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environ(folder)
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        demo.stdout.close()
        assert demo.stderr.read() == b""
        assert demo.wait(60) == 1
    assert list(folder.iterdir()) == []
