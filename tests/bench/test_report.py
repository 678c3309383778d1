"""The report's tables."""

import pytest

from htq.bench.measures import MEASURES, Sizes
from htq.bench.report import Machine, Report, Result, render, unit_of
from htq.bench.stats import summarize

MACHINE = Machine(htq="1.0.0", python="CPython 3.11.9", system="Linux x86_64", cores=2, reference_ms=98.76)


def _result(store: str, mode: str, **figures: list[float]) -> Result:
    return Result(
        measure="throughput",
        about="many requests",
        store=store,
        mode=mode,
        figures={name: summarize(runs, unit_of(name)) for name, runs in figures.items()},
    )


def test_table_has_a_column_a_layout_and_a_dash_where_there_is_nothing() -> None:
    report = Report(
        machine=MACHINE,
        runs=3,
        results=[
            _result(
                "sqlite", "up", tasks_per_s=[4000, 5000, 4500], cpu_up_us=[200, 210, 190], cpu_all_us=[200, 210, 190]
            ),
            _result(
                "redis", "split", tasks_per_s=[6000, 6000, 6000], cpu_store_us=[30, 31, 32], cpu_all_us=[99, 98, 97]
            ),
        ],
    )
    lines = render(report).splitlines()
    assert lines[1] == "a loop of 2,000,000 additions takes 98.8 ms of CPU here"
    assert lines[4] == "throughput: many requests"
    assert lines[5].split("  ")[-1].strip() == "redis, split"
    table = {line.split("   ")[0].strip(): line for line in lines[6:]}
    assert "4,500 (4,000-5,000)" in table["done, /s"]
    assert table["CPU a task, server and worker, µs"].endswith("-")
    assert lines[-1].strip().startswith("CPU a task, all told")


def test_one_run_has_no_span() -> None:
    report = Report(machine=MACHINE, runs=1, results=[_result("sqlite", "up", p50_ms=[2.345], wall_s=[12.34])])
    text = render(report)
    assert "one run" in text
    assert "2.35" in text
    assert "12.3\n" in text
    assert "(" not in text


def test_figure_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="names no unit"):
        unit_of("tasks")


def test_every_measure_says_what_it_does_with_its_sizes() -> None:
    for measure in MEASURES:
        about = measure.about.format(**Sizes()._asdict())
        assert "{" not in about
        assert measure.threads(Sizes()) >= 1
