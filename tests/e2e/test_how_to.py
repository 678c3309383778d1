"""Every how-to page shows what happens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.pages import DocsShell, play, steps
from e2e.test_readme import ROOT

ELSEWHERE = {"how-to/cancel-many.md", "how-to/honor-a-cancel.md"}
"""Pages that have tests of their own, or show no commands."""

PAGES = sorted({f"how-to/{path.name}" for path in (ROOT / "docs" / "how-to").glob("*.md")} - ELSEWHERE)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[DocsShell]:
    shell = DocsShell(tmp_path)
    try:
        yield shell
    finally:
        await shell.close()


@pytest.mark.parametrize("page", PAGES)
async def test_a_how_to_page_shows_what_happens(shell: DocsShell, page: str) -> None:
    assert await play(shell, page) == len(steps(page)) > 2


async def test_a_callback_arrives_and_its_signature_is_good(shell: DocsShell) -> None:
    """What the page shows besides: the line of the service."""
    await play(shell, "how-to/callbacks.md")
    service = shell.background[0]
    assert service.stdout is not None
    line = b""
    while not line.startswith(b"htq.task.success"):
        line = await service.stdout.readline()
        assert line
    assert line.endswith(b"(signature good)\n")
