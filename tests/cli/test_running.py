"""`htq server`, `htq worker` and `htq up` as processes: their lines, their signals, their exit codes."""

import asyncio
import json
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from htq.client import AsyncClient, Unavailable
from support.htq_process import HtqProcess
from support.ports import closed_port
from support.target import FakeTarget, answer, hold, reset

BOUND = 60.0
STOPS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", STOPS)
async def test_a_server_says_the_seeds_lines_and_where_tasks_are_kept(tmp_path: Path, number: signal.Signals) -> None:
    async with asyncio.timeout(BOUND), HtqProcess("server", "--port", "0", folder=tmp_path) as htq:
        url = await htq.url()
        assert htq.lines[0] == "Starting htq REST server..."
        assert htq.lines[1].startswith(f"Tasks are kept in {tmp_path}/.local/state/htq/htq.db. ")
        assert htq.lines[2] == f" * Running on {url}/"
        assert url.startswith("http://localhost:")
        async with AsyncClient(url) as client:
            assert await client.size() == 0
        htq.signal(number)
        assert await htq.ended() == 0
        assert htq.lines[3:] == ["Stopping..."]
        assert await htq.output() == ""


@pytest.mark.parametrize("number", STOPS)
async def test_a_worker_says_the_seeds_line(tmp_path: Path, number: signal.Signals) -> None:
    async with asyncio.timeout(BOUND), HtqProcess("worker", folder=tmp_path) as htq:
        await htq.said(r"^Started 10 workers\.\.\.$")
        htq.signal(number)
        assert await htq.ended() == 0


async def test_debug_says_the_seeds_lines_of_each_request(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(BOUND),
        FakeTarget() as target,
        HtqProcess("server", "--port", "0", folder=tmp_path) as server,
        HtqProcess("worker", "--debug", "--threads", "1", folder=tmp_path) as worker,
    ):
        target.on("/ok", answer())
        target.on("/late", hold())
        target.on("/broken", reset())
        await worker.said(r"^Started 1 workers\.\.\.$")
        async with AsyncClient(await server.url()) as client:
            for path, timeout, last in (
                ("/ok", 60, "response received"),
                ("/late", 0.1, "request timeout"),
                ("/broken", 60, "request error"),
            ):
                uuid = (await client.send(target.url(path), timeout=timeout))["uuid"]
                await worker.said(rf"^\[{uuid}\] {last}$")
                assert [line for line in worker.lines if uuid in line] == [
                    f"[{uuid}] sending request...",
                    f"[{uuid}] {last}",
                ]


async def test_without_debug_a_request_leaves_no_line(tmp_path: Path) -> None:
    async with asyncio.timeout(BOUND), FakeTarget() as target, HtqProcess("up", "--port", "0", folder=tmp_path) as htq:
        target.on("/", answer())
        async with AsyncClient(await htq.url()) as client:
            uuid = (await client.send(target.url()))["uuid"]
            await client.wait(uuid, 20)
        htq.signal(signal.SIGTERM)
        assert await htq.ended() == 0
        assert not [line for line in htq.lines if uuid in line]


async def test_json_lines_are_objects_with_the_messages(tmp_path: Path) -> None:
    async with asyncio.timeout(BOUND), HtqProcess("up", "--port", "0", "--log-format", "json", folder=tmp_path) as htq:
        await htq.said("Started 10 workers")
        await htq.said("Running on")
        htq.signal(signal.SIGTERM)
        assert await htq.ended() == 0
        lines = [json.loads(line) for line in htq.lines if line]
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        messages = {line["message"]: line["logger"] for line in lines}
        assert messages["Started 10 workers..."] == "htq.worker"
        assert "Starting htq REST server..." in messages


async def test_up_lets_what_is_in_flight_end_and_serves_its_waiter(tmp_path: Path) -> None:
    async with asyncio.timeout(BOUND), FakeTarget() as target, HtqProcess("up", "--port", "0", folder=tmp_path) as htq:
        target.on("/slow", hold(answer(200, b"worth waiting for")))
        async with AsyncClient(await htq.url()) as client:
            uuid = (await client.send(target.url("/slow")))["uuid"]
            request = await target.arrived("/slow")
            waiting = asyncio.create_task(client.wait(uuid, 20))
            htq.signal(signal.SIGTERM)
            await htq.said("Stopping")
            request.release()
            assert (await waiting)["data"] == "worth waiting for"
        assert await htq.ended() == 0


async def test_a_second_signal_hands_back_what_is_in_flight(tmp_path: Path) -> None:
    async with asyncio.timeout(BOUND), FakeTarget() as target:
        target.on("/slow", hold(), "POST")
        async with HtqProcess("up", "--port", "0", folder=tmp_path) as htq:
            async with AsyncClient(await htq.url()) as client:
                await client.send(target.url("/slow"), method="post")
            request = await target.arrived("/slow", "POST")
            htq.signal(signal.SIGTERM)
            await htq.said("Stopping")
            htq.signal(signal.SIGTERM)
            await request.disconnected(20)
            assert await htq.ended() == 0
            assert target.received("/slow", "DELETE")


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with asyncio.timeout(BOUND), HtqProcess("server", "--port", str(port), folder=tmp_path) as htq:
            assert await htq.ended() == 1
            [line] = [line for line in htq.lines if line.startswith("error: ")]
            assert str(port) in line
            assert not any("Traceback" in line for line in htq.lines)


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["server", "--host", "0.0.0.0"], {}, "--insecure"),
        (["server", "--port", "http"], {}, "--port: 'http' is not a whole number"),
        (["worker"], {"HTQ_THREDS": "5"}, "unknown variable HTQ_THREDS; did you mean HTQ_THREADS?"),
        (["worker"], {"HTQ_CONFIG": "nowhere.toml"}, "nowhere.toml: can't be read: No such file or directory"),
        (["up", "--config", "nowhere.toml"], {}, "nowhere.toml: can't be read"),
    ],
)
async def test_a_bad_setting_is_one_line_and_exit_code_two(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    async with asyncio.timeout(BOUND), HtqProcess(*arguments, folder=tmp_path, environ=environ) as htq:
        assert await htq.ended() == 2
        [line] = [line for line in htq.lines if line]
        assert line.startswith(f"htq {arguments[0]}: ")
        assert said in line


async def test_the_file_of_settings_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "htq.toml").write_text(f'threads = 3\nstore = "sqlite://{tmp_path}/here.db"\n')
    async with asyncio.timeout(BOUND), HtqProcess("worker", folder=tmp_path, environ={"HTQ_PORT": "1"}) as htq:
        await htq.said("Started 3 workers")
        assert htq.lines[0] == "Settings from htq.toml"
        assert any(f"{tmp_path}/here.db" in line for line in htq.lines)
        htq.signal(signal.SIGTERM)
        assert await htq.ended() == 0


async def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "htq.toml").write_text("threads = \n")
    async with asyncio.timeout(BOUND), HtqProcess("worker", folder=tmp_path) as htq:
        assert await htq.ended() == 2
        assert "htq.toml: is not TOML" in htq.lines[0]


async def test_a_store_that_cannot_be_used_ends_it_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"this is no database at all" * 100)
    for command in ("server", "worker", "up"):
        port = () if command == "worker" else ("--port", "0")
        store = f"sqlite://{tmp_path}/other.db"
        async with asyncio.timeout(BOUND), HtqProcess(command, *port, "--store", store, folder=tmp_path) as htq:
            assert await htq.ended() == 1
            assert any(line.startswith("error: ") and "other.db" in line for line in htq.lines), htq.lines
            assert not any("Traceback" in line for line in htq.lines)


async def test_a_server_whose_store_is_away_starts_and_answers_503(tmp_path: Path) -> None:
    with closed_port() as port:
        redis = f"127.0.0.1:{port}"
        async with (
            asyncio.timeout(BOUND),
            HtqProcess("server", "--port", "0", "--redis", redis, folder=tmp_path) as server,
            HtqProcess("worker", "--redis", redis, folder=tmp_path) as worker,
        ):
            async with AsyncClient(await server.url()) as client:
                with pytest.raises(Unavailable) as caught:
                    await client.send("http://127.0.0.1:9/")
                assert caught.value.retry_after is not None
            await worker.said("away, waiting for it")
            await server.said("away, requests are answered with 503")
            assert sum("away" in line for line in server.lines) == 2, "it waits, and it refuses: one line each"
            for htq in (server, worker):
                htq.signal(signal.SIGTERM)
                assert await htq.ended() == 0


async def test_the_default_store_is_the_same_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    environ = {"HOME": str(tmp_path)}
    async with (
        asyncio.timeout(BOUND),
        FakeTarget() as target,
        HtqProcess("server", "--port", "0", folder=tmp_path) as server,
        HtqProcess("worker", folder=tmp_path / "elsewhere", environ=environ) as worker,
    ):
        target.on("/", answer())
        await worker.said("Started")
        async with AsyncClient(await server.url()) as client:
            task = await client.send(target.url())
            assert (await client.wait(task["uuid"], 20))["code"] == 200
    path = tmp_path / ".local" / "state" / "htq" / "htq.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(path) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()
