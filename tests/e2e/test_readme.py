"""The README's tutorial, run as it stands: its commands, with free ports in place of 5000 and 8000."""

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def steps() -> list[tuple[str, list[str]]]:
    """The tutorial's commands, each with the lines that the README shows below it."""
    text = (ROOT / "README.md").read_text()
    tutorial = text[text.index("## Tutorial") : text.index("## The interface")]
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", tutorial, re.DOTALL):
        command, *output = block.splitlines()
        assert command.startswith("$ ")
        found.append((command[2:], output))
    return found


class Shell:
    """Runs commands as the reader would, each that stays in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self._service, self._server = _free_port(), _free_port()
        self._folder = folder
        self.background: list[asyncio.subprocess.Process] = []

    def translate(self, command: str) -> str:
        command = command.replace("localhost:8000", f"localhost:{self._service}")
        command = command.replace("localhost:5000", f"localhost:{self._server}")
        if command.startswith("python "):
            command = f"{sys.executable} {command.removeprefix('python ')} {self._service}"
        if command.startswith("htq "):
            command = f"{sys.executable} -m {command}"
        if command.endswith("htq server"):
            command += f" --port {self._server}"
        return command

    async def start(self, command: str) -> asyncio.subprocess.Process:
        env = {**os.environ, "XDG_STATE_HOME": str(self._folder), "PYTHONUNBUFFERED": "1"}
        return await asyncio.create_subprocess_shell(
            f"exec {self.translate(command)}",
            cwd=ROOT,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def stay(self, command: str, until: str) -> list[str]:
        process = await self.start(command)
        self.background.append(process)
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(20):
            while not lines or until not in lines[-1]:
                line = await process.stdout.readline()
                assert line, f"{command} ended after {lines}"
                lines.append(line.decode().rstrip("\n"))
        return lines

    async def run(self, command: str) -> str:
        process = await self.start(command.replace("curl ", "curl -sS --max-time 15 "))
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
        assert process.returncode == 0, f"{command}: {out.decode()}"
        return out.decode()

    async def close(self) -> None:
        for process in self.background:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        await shell.close()


async def test_the_tutorial_gives_what_the_readme_shows(shell: Shell) -> None:
    uuid = ""
    ran = 0
    for command, shown in steps():
        ran += 1
        if command.startswith("python "):
            await shell.stay(command, "listening on")
        elif command == "htq server":
            lines = await shell.stay(command, " * Running on")
            assert lines[0] == shown[0] == "Starting htq REST server..."
        elif command.startswith("htq worker"):
            lines = await shell.stay(command, "response received")
            assert [line for line in lines if not line.startswith("Tasks are kept in")] == [
                re.sub(UUID, uuid, line) for line in shown if not line.startswith("Tasks are kept in")
            ]
        else:
            out = await shell.run(re.sub(UUID, uuid, command))
            if match := re.search(rf"location: http://localhost:\d+/({UUID})/", out, re.IGNORECASE):
                uuid = match[1]
            _compare(out, shown)
    assert ran == 11


def _compare(out: str, shown: list[str]) -> None:
    """Status line, names of headers and, where the README shows JSON, its keys and its status words must agree."""
    if shown[0].startswith("HTTP/"):
        assert out.splitlines()[0].strip() == shown[0]
        for line in shown[1:]:
            if match := re.match(r"([A-Z][A-Za-z-]+): ", line):
                assert f"\n{match[1].lower()}: " in out.lower()
    body = next((line for line in shown if line.startswith("{")), None)
    if body is None:
        return
    given = json.loads(out[out.index("{") :])
    for key in re.findall(r'"(\w+)":', "".join(shown[shown.index(body) :])):
        assert f'"{key}"' in out, f"the README shows {key}, and the answer is {out}"
    status = re.search(r'"status":"(\w+)"', body)
    assert status is None or given["status"] == status[1]
