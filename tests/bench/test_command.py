"""`htq bench` as it is typed: real processes, small numbers, and a report of the right shape."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from htq.bench import main
from htq.bench.command import Options, parse
from htq.bench.measures import MEASURES
from htq.bench.report import Report

SMALL = (
    "--runs",
    "1",
    "--tasks",
    "300",
    "--queued",
    "200",
    "--paced",
    "20",
    "--cancels",
    "5",
    "--wide",
    "20",
    "--flood",
    "100",
    "--seconds",
    "1",
    "--json",
)


def _report(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> Report:
    code = main([*SMALL, "--folder", str(folder), *arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert list(folder.iterdir()) == []
    return msgspec.json.decode(said.out, type=Report)


def _figures(report: Report, measure: str, store: str, mode: str) -> dict[str, float]:
    [result] = [
        result for result in report.results if (result.measure, result.store, result.mode) == (measure, store, mode)
    ]
    return {name: figure.median for name, figure in result.figures.items()}


def test_everything_is_measured_in_one_process_over_sqlite(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = _report(capsys, tmp_path, "--store", "sqlite", "--mode", "up")
    assert [result.measure for result in report.results] == [
        measure.name for measure in MEASURES if not measure.asked_for
    ]
    assert report.runs == 1
    assert report.machine.cores >= 1
    assert report.machine.reference_ms > 0

    queue = _figures(report, "queue", "sqlite", "server")
    assert queue["submits_per_s"] > 0
    assert 0 < queue["submit_p50_ms"] <= queue["submit_p99_ms"]
    assert queue["store_size_mib"] > 0
    assert queue["cpu_all_us"] == queue["cpu_server_us"]

    throughput = _figures(report, "throughput", "sqlite", "up")
    assert 0 < throughput["tasks_per_s"] <= throughput["submits_per_s"]
    assert throughput["cpu_all_us"] == throughput["cpu_up_us"] > 0

    latency = _figures(report, "latency", "sqlite", "up")
    assert 0 < latency["p50_ms"] <= latency["p99_ms"]

    cancel = _figures(report, "cancel", "sqlite", "up")
    assert cancel["p50_ms"] <= cancel["whole_p50_ms"] <= cancel["whole_p99_ms"]
    assert cancel["whole_p50_ms"] > 0

    assert _figures(report, "wide", "sqlite", "up")["wall_s"] >= 1.0

    fairness = _figures(report, "fairness", "sqlite", "up")
    assert 20 <= fairness["alone_p50_ms"] <= fairness["alone_p99_ms"]
    assert 20 <= fairness["beside_p50_ms"] <= fairness["beside_p99_ms"]

    accuracy = _figures(report, "accuracy", "sqlite", "up")
    assert 0 < accuracy["kept_per_s"] <= 101
    assert accuracy["most_per_s"] >= 2


def test_redis_and_processes_apart_are_counted_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = _report(
        capsys, tmp_path, "--store", "redis", "--mode", "split", "--only", "throughput", "--only", "cancel"
    )
    assert [(result.measure, result.store, result.mode) for result in report.results] == [
        ("throughput", "redis", "split"),
        ("cancel", "redis", "split"),
    ]
    figures = _figures(report, "throughput", "redis", "split")
    parts = [figures[f"cpu_{part}_us"] for part in ("server", "worker", "store")]
    assert all(part >= 0 for part in parts)
    assert figures["cpu_all_us"] == pytest.approx(sum(parts))
    assert figures["cpu_all_us"] > 0


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_depth_is_measured_when_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path, store: str) -> None:
    report = _report(capsys, tmp_path, "--store", store, "--only", "depth", "--deep", "1200")
    figures = _figures(report, "depth", store, "server")
    for shape in ("few", "few_lanes", "deep", "deep_lanes", "held_lanes"):
        assert 0 < figures[f"{shape}_claim_p50_ms"] <= figures[f"{shape}_claim_p99_ms"]
        assert figures[f"{shape}_enqueue_p99_ms"] > 0
    assert figures["deep_claim_p99_x"] == pytest.approx(figures["deep_claim_p99_ms"] / figures["few_claim_p99_ms"])


def test_defaults_measure_everything() -> None:
    assert parse([]) == Options()


@pytest.mark.parametrize(
    "arguments", [["--runs", "0"], ["--tasks", "many"], ["--only", "nothing"], ["--store", "paper"], ["more"]]
)
def test_what_can_not_be_asked_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert "usage: htq bench" in capsys.readouterr().err


def test_missing_redis_is_said_before_anything_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--store", "redis"]) == 2
    assert "htq bench: there is no redis-server or valkey-server on the PATH" in capsys.readouterr().err


def test_redis_that_holds_something_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    import redis

    from support.redis_server import RedisServer

    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        client.set("precious", "1")
        assert main([*SMALL, "--store", "redis", "--only", "queue", "--redis-url", server.url]) == 2
        assert client.get("precious") == b"1"
    assert "name an empty one" in capsys.readouterr().err


def test_bench_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "htq.bench", "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert "usage: htq bench" in done.stdout
