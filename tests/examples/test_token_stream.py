"""The service that streams tokens: a cancel stops them in the middle of the response."""

import json
from http.client import IncompleteRead
from pathlib import Path

import pytest

from support.service_process import ServiceProcess, Wire, htq_headers, new_task_id, stop_headers, uvicorn

FOLDER = Path(__file__).parents[2] / "examples" / "token_stream"


def meter(wire: Wire) -> dict[str, int]:
    counts: dict[str, int] = json.loads(wire.call("GET", "/meter").body)
    return counts


def test_tokens_stop_when_the_task_is_canceled() -> None:
    task = new_task_id()
    with ServiceProcess(uvicorn("service:app", FOLDER), {}) as service, service.wire() as runs, service.wire() as stops:
        prompt = json.dumps({"prompt": "one two three", "max_tokens": 100_000}).encode()
        runs.send("POST", "/completions", htq_headers(task), prompt)
        response = runs.response()
        assert response.readline() == b'data: {"token": "one"}\n'
        assert meter(stops)["generating"] == 1

        assert stops.call("DELETE", "/completions", stop_headers(task)).stop == (204, "stopped")

        after = meter(stops)
        assert after["generating"] == 0
        # The response breaks off: it must not pass for a whole one.
        with pytest.raises(IncompleteRead):
            response.read()
        assert meter(stops) == after


def test_a_short_answer_comes_whole() -> None:
    with ServiceProcess(uvicorn("service:app", FOLDER), {}) as service, service.wire() as wire:
        prompt = json.dumps({"prompt": "hello", "max_tokens": 2}).encode()
        headers = htq_headers(new_task_id())
        answer = wire.call("POST", "/completions", headers, prompt)
    assert answer.body.decode().split("\n\n") == ['data: {"token": "hello"}'] * 2 + ["data: [DONE]", ""]
