"""The pages on canceling, run as they stand: their commands, with free ports in place of 5000 and 8000."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.pages import DocsShell, steps
from e2e.test_readme import ROOT, UUID, _compare


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[DocsShell]:
    shell = DocsShell(tmp_path)
    try:
        yield shell
    finally:
        await shell.close()


async def test_the_page_on_canceling_shows_what_happens(shell: DocsShell) -> None:
    uuid = ""
    ran = 0
    answers: list[tuple[str, str]] = []
    for command, shown in steps("canceling.md"):
        ran += 1
        if command.startswith("python "):
            await shell.stay(command, "listening on")
            continue
        if command == "htq up":
            await shell.stay(command, " * Running on")
            continue
        out = await shell.run(re.sub(UUID, uuid, command))
        if match := re.search(rf"location: http://localhost:\d+/({UUID})/", out, re.IGNORECASE):
            uuid = match[1]
            await _working(shell)
        if shown[0] == "{}":
            assert out == "{}"
        elif shown[0].startswith("["):
            assert '"delete":{"state":"confirmed","code":204,' in out
        else:
            _compare(out, shown)
        answers.append((command, out))
    assert ran == len(answers) + 2 == 14
    _check(answers)


async def _working(shell: DocsShell) -> None:
    """Until the service says that it is at work on what was queued last: then a cancel meets a request that was sent."""
    service = shell.background[0]
    assert service.stdout is not None
    line = b""
    while not line.startswith(b"working for"):
        line = await service.stdout.readline()
        assert line


def _check(answers: list[tuple[str, str]]) -> None:
    """What the page says beyond the names of fields."""
    record = next(out for command, out in answers if "/cancel/" in command)
    for words in ('"reason":"too slow"', '"state":"confirmed"', '"code":204', '"proof":"header"', '"phase":"sent"'):
        assert words in record
    own = next(out for command, out in answers if "/jobs/{uuid}" in command)
    assert re.search(rf'"url":"http://localhost:\d+/jobs/({UUID})".*"uuid":"\1"', own)
    assert '"cancel_policy":{"method":"post","url":"{url}/cancel","grace":1}' in own
    of_queue = next(out for command, out in answers if '"queue": "reports"' in command)
    assert '"cancel_policy":{"delete":false}' in of_queue
    assert [out for command, out in answers if "?queue=" in command] == ['{"matching":1}', '{"canceled":1}']


async def test_the_page_on_canceling_many_shows_what_happens(shell: DocsShell) -> None:
    ran = 0
    for command, shown in steps("how-to/cancel-many.md"):
        ran += 1
        if command == "htq up":
            await shell.stay(command, " * Running on")
            continue
        out = await shell.run(command)
        if re.fullmatch(UUID, shown[0]):
            assert re.fullmatch(UUID, out.strip())
        else:
            assert out.splitlines() == shown
    assert ran == 6


def test_the_page_names_every_option_state_and_phase() -> None:
    from typing import get_args

    from htq.usecases import CancelWish
    from htq.words.attempt import PHASES
    from htq.words.task import DeleteState

    page = (ROOT / "docs" / "canceling.md").read_text()
    for word in (*CancelWish.__struct_fields__, *PHASES, *get_args(DeleteState)):
        assert f"`{word}`" in page
