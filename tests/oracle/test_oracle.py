"""Every cell is played, and judged by the oracle; the page that shows them is made from the same tables."""

import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from oracle.cells import Cell, cells
from oracle.expected import expected
from oracle.judge import differences
from oracle.matrix import PAGE, page
from oracle.play import Seen, play
from support.redis_server import RedisServer

ALL = os.environ.get("HTQ_TEST_ORACLE") == "all"
"""The long form: the whole product."""

WRITE_TO = os.environ.get("HTQ_TEST_MATRIX")
"""Where the page is written to, with the marks of this very run."""

CELLS = cells(all_of_them=ALL)


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Cell, Seen | BaseException]:
    """What came of the cells that this run asks for: they are played side by side."""
    asked = [item.callspec.params.get("cell") for item in request.session.items if hasattr(item, "callspec")]
    wanted = [cell for cell in asked if isinstance(cell, Cell)]
    # A real Redis without the disk: what survives a crash of the machine is not asked here.
    with RedisServer(appendonly=False) as redis, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(play(wanted, tmp_path_factory.mktemp("oracle"), redis.url))
    if WRITE_TO is not None:
        Path(WRITE_TO).write_text(page(lambda cell: not _wrong(cell, seen.get(cell))))
    return seen


def _wrong(cell: Cell, seen: Seen | BaseException | None) -> list[str]:
    if not isinstance(seen, Seen):
        return [f"it was not played to its end: {seen!r}"]
    return differences(cell, expected(cell), seen)


@pytest.mark.timeout(600 if ALL else 120)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_cancel_comes_to_what_the_contract_says(cell: Cell, played: dict[Cell, Seen | BaseException]) -> None:
    seen = played[cell]
    assert not (wrong := _wrong(cell, seen)), "; ".join(wrong)


def test_the_matrix_of_the_docs_is_up_to_date() -> None:
    """It is made by a run of all cells with `HTQ_TEST_MATRIX=docs/reference/cancel-matrix.md`."""
    assert PAGE.read_text() == page()
