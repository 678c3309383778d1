"""Log lines: plain ones are the message alone, JSON ones can be read by a machine."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from htq import logs
from htq.policy.settings import LogFormat


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("htq")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.raiseExceptions = before[3]


def said(log_format: LogFormat, debug: bool = False) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(log_format, debug, stream)
    return stream


def test_a_plain_line_is_the_message() -> None:
    stream = said("plain")
    logging.getLogger("htq.worker").info("Started %d workers...", 10)
    assert stream.getvalue() == "Started 10 workers...\n"


def test_a_plain_warning_says_that_it_is_one() -> None:
    stream = said("plain")
    logging.getLogger("htq.worker").warning("the store is away")
    assert stream.getvalue() == "warning: the store is away\n"


def test_debug_lines_come_only_when_asked_for() -> None:
    stream = said("plain")
    logging.getLogger("htq.worker").debug("[x] sending request...")
    assert not stream.getvalue()
    stream = said("plain", debug=True)
    logging.getLogger("htq.worker").debug("[x] sending request...")
    assert stream.getvalue() == "[x] sending request...\n"


def test_debug_is_not_for_the_libraries_beneath() -> None:
    stream = said("plain", debug=True)
    logging.getLogger("asyncio").debug("Using selector")
    logging.getLogger("uvicorn").info("Started")
    assert not stream.getvalue()


def test_a_json_line_has_the_fields_and_the_extra_ones() -> None:
    stream = said("json", debug=True)
    logging.getLogger("htq.worker").debug(
        "[%s] sending\n\u2028", "x", extra={"uuid": "x", "attempt": 2, "what": {1, 2}}
    )
    lines = stream.getvalue().splitlines()
    line = json.loads(stream.getvalue())
    assert isinstance(line.pop("time"), int)
    assert line.pop("what") == [1, 2]
    assert line == {
        "level": "debug",
        "logger": "htq.worker",
        "message": "[x] sending\n\u2028",
        "uuid": "x",
        "attempt": 2,
    }
    assert stream.getvalue().count("\n") == 1, lines


def test_a_json_line_takes_anything_and_is_still_one_line() -> None:
    stream = said("json")
    logging.getLogger("htq").info("\ud800 %s", "x", extra={"odd": object, "text": "\udfff", 5: 1})  # type: ignore[dict-item]
    assert json.loads(stream.getvalue())["message"].endswith(" x")


def test_an_exception_is_part_of_its_json_line() -> None:
    stream = said("json")
    try:
        raise ValueError("what went wrong")
    except ValueError:
        logging.getLogger("htq").exception("stopped")
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert "ValueError: what went wrong" in line["exception"]
    assert stream.getvalue().count("\n") == 1


def test_configuring_again_replaces_what_was_there() -> None:
    first = said("plain")
    second = said("json")
    logging.getLogger("htq").info("once")
    assert not first.getvalue()
    assert second.getvalue().count("\n") == 1


def test_a_stream_that_fails_does_not_stop_the_caller() -> None:
    stream = said("plain")
    stream.close()
    logging.getLogger("htq").info("into the void")
