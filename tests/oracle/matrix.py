"""The page that shows the cells: what must be seen in each, and over which stores it was."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from oracle.cells import CONNECTIONS, MOMENTS, SERVICES, STORES, TOLD, WAYS, Cell, Moment, Service, cells
from oracle.expected import Closing, Expectation, expected

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "cancel-matrix.md"

_CLOSINGS: Final[dict[Closing, str]] = {
    "never opened": "never sent",
    "before": "is over",
    "at once": "closed at once",
    "on the answer": "closed once that is answered, or given up",
    "after the grace": "closed after 2 s",
    "by itself": "ended by the service",
}


def page(passed: Callable[[Cell], bool] = lambda _: True) -> str:
    """The page with a mark for each cell that `passed`: as committed, all of them."""
    shown = cells(all_of_them=False)
    every = len(cells(all_of_them=True))
    ways = "; ".join(WAYS.values())
    head = f"""# Where a cancel finds a request, and what it comes to

Made from the tables in `tests/oracle` by a run of its tests, which play every cell over real stores and real connections, and
judge it by one function; a test checks that this page is up to date.

A cell is a moment, a service, a way to ask ({ways}), a
connection ({" or ".join(CONNECTIONS)}), a task that lets htq send a DELETE or one that does not, and a store. A row below
stands for its cells: ✓ and how many of them were played, over each store. These are the {len(shown):,} that depart from the usual
in one of way, connection, permission and a large upload at most; the long form plays the whole product, {every:,} cells.

In every cell, besides what the row says: the 204 is final, no response appears, the DELETE comes over another connection while the
request is still open, with the request's `HTQ-Task-Id` and `HTQ-Attempt`, the caller's own fields and none that describe a
body, and once, however often it was asked; a newer request with the same `id` starts when the older one is over. `proof` is what
shows that the work stopped: *none* means that the service may still be at it.
"""
    return head + "".join(_sections(shown, passed))


def _sections(shown: list[Cell], passed: Callable[[Cell], bool]) -> Iterator[str]:
    for moment, words in MOMENTS.items():
        yield f"\n## {words[0].upper()}{words[1:]}\n\n"
        columns = ("the service, to the DELETE", "the request", "DELETEs", "phase", "state", "proof", *STORES)
        yield f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
        mine = [cell for cell in shown if cell.moment == moment]
        for (service, should), group in groupby(sorted(mine, key=_row), key=_of):
            members = list(group)
            told = SERVICES[service] if should.state != "none" else _untold(moment)
            marks = [_mark([cell for cell in members if cell.store == store], passed) for store in STORES]
            yield f"| {' | '.join((told, *_columns(should), *marks))} |\n"


def _of(cell: Cell) -> tuple[Service, Expectation]:
    return cell.service, expected(cell)


def _row(cell: Cell) -> tuple[bool, int]:
    return not cell.delete, list(SERVICES).index(cell.service)


def _untold(moment: Moment) -> str:
    return "is not told: the task says so" if moment in TOLD else "–"


def _columns(should: Expectation) -> tuple[str, ...]:
    code = f" ({should.code})" if should.code is not None else ""
    return (
        _CLOSINGS[should.closing],
        str(should.deletes),
        f"`{should.phase}`",
        f"`{should.state}`{code}",
        should.proof,
    )


def _mark(members: list[Cell], passed: Callable[[Cell], bool]) -> str:
    good = sum(passed(cell) for cell in members)
    if not members:
        return ""
    return f"✓ {good}" if good == len(members) else f"✗ {len(members) - good} of {len(members)}"
