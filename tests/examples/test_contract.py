"""Every example passes the check that anybody can run against a service."""

import json
from pathlib import Path

import pytest

from htq.check_service import main
from support.postgres_server import PostgresServer
from support.service_process import ServiceProcess, gunicorn, uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"

SERVICES = {
    "postgres_flask": (
        gunicorn("service:app", EXAMPLES / "postgres_flask", 4, threads=10),
        "/",
        {"statement": "SELECT pg_sleep(%s)", "parameters": [60]},
    ),
    "postgres_fastapi": (
        uvicorn("service:app", EXAMPLES / "postgres_fastapi", 4),
        "/",
        {"statement": "SELECT pg_sleep($1)", "parameters": [60]},
    ),
    "subprocess_service": (uvicorn("service:app", EXAMPLES / "subprocess_service"), "/nap", {}),
    "token_stream": (
        uvicorn("service:app", EXAMPLES / "token_stream"),
        "/completions",
        {"prompt": "one two", "max_tokens": 100_000},
    ),
}


@pytest.mark.parametrize("name", list(SERVICES))
def test_an_example_honors_a_cancel(name: str, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]) -> None:
    command, path, data = SERVICES[name]
    with ServiceProcess(command, {"DATABASE_URL": postgres.dsn}) as service:
        url = f"http://127.0.0.1:{service.port}{path}"
        more = ["-H", "Authorization: Bearer somebody", "--running-after", "0.5", "--json", json.dumps(data)]
        code = main([url, *more])
    out = capsys.readouterr().out
    assert (code, out.count("  ok  ")) == (0, 6), out


def test_every_example_is_checked() -> None:
    # Those of the pages that are run have tests of their own.
    assert {file.parent.name for file in EXAMPLES.glob("*/service.py")} - {"tutorial", "dispatch"} == set(SERVICES)
