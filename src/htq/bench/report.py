"""The report: one JSON document, and the tables that are drawn from it."""

from collections.abc import Iterable

import msgspec

from htq.bench.stats import Figure

__all__ = ["Machine", "Report", "Result", "render", "unit_of"]

_UNITS = {"_per_s": "/s", "_us": "µs", "_ms": "ms", "_mib": "MiB", "_s": "s", "_x": "x"}

_LABELS = {
    "submits_per_s": "submitted",
    "submit_p50_ms": "a POST, p50",
    "submit_p99_ms": "a POST, p99",
    "tasks_per_s": "done",
    "cpu_up_us": "CPU a task, server and worker",
    "cpu_server_us": "CPU a task, server",
    "cpu_worker_us": "CPU a task, worker",
    "cpu_store_us": "CPU a task, store",
    "cpu_all_us": "CPU a task, all told",
    "server_memory_mib": "memory of the server",
    "store_size_mib": "size of the store",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "late_ms": "the generator's own worst delay",
    "whole_p50_ms": "from the cancel written, p50",
    "whole_p99_ms": "from the cancel written, p99",
    "wall_s": "all done after",
    "alone_p50_ms": "alone, p50",
    "alone_p99_ms": "alone, p99",
    "beside_p50_ms": "beside the flood, p50",
    "beside_p99_ms": "beside the flood, p99",
    "kept_per_s": "arrived",
    "most_per_s": "most in any second",
    "apart_p50_ms": "between two, p50",
    **{
        f"{shape}_{figure}": f"{about}, {words}"
        for shape, about in {
            "few": "few in one lane",
            "few_lanes": "few in as many lanes",
            "deep": "many in one lane",
            "deep_lanes": "many in many lanes",
            "held_lanes": "nearly all lanes held",
        }.items()
        for figure, words in {
            "claim_p50_ms": "a claim, p50",
            "claim_p99_ms": "a claim, p99",
            "enqueue_p99_ms": "an enqueue, p99",
            "claim_p99_x": "a claim, p99, against few",
        }.items()
    },
}


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What it ran on."""

    htq: str
    python: str
    system: str
    cores: int
    reference_ms: float
    """CPU of a fixed loop (`htq.bench.usage.reference_ms`), just before the first run."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one measure over one layout. `figures` is by name; the name ends in the unit."""

    measure: str
    about: str
    store: str
    mode: str
    figures: dict[str, Figure]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of a benchmark."""

    machine: Machine
    runs: int
    results: list[Result]


def unit_of(name: str) -> str:
    """The unit that a figure's name ends in. Raises `ValueError` for one without."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return unit
    raise ValueError(f"{name} names no unit")


def render(report: Report) -> str:
    """Tables for people: one a measure, a column a layout, `median (min-max)`."""
    machine = report.machine
    lines = [
        f"htq {machine.htq}, {machine.python}, {machine.system}, {machine.cores} cores",
        f"a loop of 2,000,000 additions takes {_number(machine.reference_ms)} ms of CPU here",
        f"median (min-max) of {report.runs} runs" if report.runs > 1 else "one run",
    ]
    for measure in dict.fromkeys(result.measure for result in report.results):
        results = [result for result in report.results if result.measure == measure]
        lines += ["", f"{measure}: {results[0].about}", *_table(results)]
    return "\n".join(lines) + "\n"


def _table(results: list[Result]) -> Iterable[str]:
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    # What belongs to all layouts stands below what only some of them have.
    names.sort(key=lambda name: name == "cpu_all_us")
    rows = [["", *(_heading(result) for result in results)]]
    for name in names:
        cells = (result.figures.get(name) for result in results)
        rows.append([f"{_LABELS.get(name, name)}, {unit_of(name)}", *(_cell(figure) for figure in cells)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells_of_row = [row[0].ljust(widths[0])]
        cells_of_row += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield ("  " + "   ".join(cells_of_row)).rstrip()


def _heading(result: Result) -> str:
    return f"{result.store}, {result.mode}"


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if len(figure.runs) == 1:
        return _number(figure.median)
    return f"{_number(figure.median)} ({_number(figure.min)}-{_number(figure.max)})"


def _number(value: float) -> str:
    """Three digits that count, and no more than a reader can use."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
