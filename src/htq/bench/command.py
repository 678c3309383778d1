"""`htq bench`: what the system does on this machine, measured from outside."""

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

import htq
from htq.bench import redis_server
from htq.bench.jobs import Figures
from htq.bench.measures import MEASURES, Measure, Sizes
from htq.bench.report import Machine, Report, Result, render, unit_of
from htq.bench.stats import summarize
from htq.bench.system import STORES, Layout, Mode, StoreName, running
from htq.bench.usage import check_proc, reference_ms
from htq.words.clock import Clock, SystemClock
from htq.words.errors import ConfigError, HtqError

__all__ = ["Options", "main", "parse", "run"]

_RUN_WITHIN = 600.0
"""Seconds that one run of one measure may take, with its start and its end."""

Say = Callable[[str], None]
"""Tells the person who waits what is going on."""


class Options(NamedTuple):
    """What to measure. `modes` are those of the measures that need a worker."""

    stores: tuple[StoreName, ...] = STORES
    modes: tuple[Mode, ...] = ("up", "split")
    only: tuple[str, ...] = ()
    runs: int = 3
    sizes: Sizes = Sizes()
    redis_url: str | None = None
    folder: Path | None = None
    as_json: bool = False


def _parser() -> argparse.ArgumentParser:
    sizes = Sizes()
    parser = argparse.ArgumentParser(
        prog="htq bench",
        description="Measure the system on this machine: its own processes, a fast target and a load generator, "
        "all on loopback and over stores of their own. It takes a few minutes and leaves nothing behind.",
    )
    add = parser.add_argument
    add("--store", choices=[*STORES, "both"], default="both", help="over which store [default: both]")
    add(
        "--mode",
        choices=["up", "split", "both"],
        default="both",
        help="server and worker in one process, apart, or one after the other [default: both]",
    )
    names = [measure.name for measure in MEASURES]
    add(
        "--only",
        metavar="<name>",
        action="append",
        choices=names,
        help=f"one of {', '.join(names)}; may be repeated [default: all but depth]",
    )
    add("--runs", metavar="<n>", type=_count, default=3, help="runs of each measure [default: 3]")
    add(
        "--tasks",
        metavar="<n>",
        type=_count,
        default=sizes.tasks,
        help=f"requests of throughput [default: {sizes.tasks}]",
    )
    add(
        "--queued",
        metavar="<n>",
        type=_count,
        default=sizes.queued,
        help=f"requests of queue [default: {sizes.queued}]",
    )
    add(
        "--paced", metavar="<n>", type=_count, default=sizes.paced, help=f"requests of latency [default: {sizes.paced}]"
    )
    add(
        "--cancels",
        metavar="<n>",
        type=_count,
        default=sizes.cancels,
        help=f"requests of cancel [default: {sizes.cancels}]",
    )
    add("--wide", metavar="<n>", type=_count, default=sizes.wide, help=f"requests of wide [default: {sizes.wide}]")
    add(
        "--flood",
        metavar="<n>",
        type=_count,
        default=sizes.flood,
        help=f"requests queued in fairness [default: {sizes.flood}]",
    )
    add(
        "--seconds",
        metavar="<n>",
        type=_count,
        default=int(sizes.seconds),
        help=f"how long accuracy is looked at [default: {sizes.seconds:g}]",
    )
    add(
        "--deep",
        metavar="<n>",
        type=_count,
        default=sizes.deep,
        help=f"requests queued in depth [default: {sizes.deep}]",
    )
    add("--redis-url", metavar="<url>", help="an empty Redis to use, in place of a private one that syncs every write")
    add(
        "--folder",
        metavar="<path>",
        type=Path,
        help="where the stores' files lie for the time being; a tmpfs makes every sync free [default: the system's]",
    )
    add("--json", action="store_true", dest="as_json", help="the report as one JSON document")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000_000:
        raise argparse.ArgumentTypeError("from 1 to 10,000,000")
    return number


def parse(argv: Sequence[str]) -> Options:
    """Raises `SystemExit` like every argument parser."""
    given = _parser().parse_args(argv)
    return Options(
        stores=STORES if given.store == "both" else (given.store,),
        modes=("up", "split") if given.mode == "both" else (given.mode,),
        only=tuple(given.only or ()),
        runs=given.runs,
        sizes=Sizes(
            tasks=given.tasks,
            queued=given.queued,
            paced=given.paced,
            cancels=given.cancels,
            wide=given.wide,
            flood=given.flood,
            seconds=given.seconds,
            deep=given.deep,
        ),
        redis_url=given.redis_url,
        folder=given.folder,
        as_json=given.as_json,
    )


async def run(options: Options, clock: Clock, say: Say) -> Report:
    """Measure what `options` ask for. Raises `BenchFailed`, `ConfigError`."""
    check_proc()
    if "redis" in options.stores and options.redis_url is None:
        redis_server.binary()
    machine = _machine()
    results = []
    for measure in MEASURES:
        if measure.name not in options.only if options.only else measure.asked_for:
            continue
        for layout in _layouts(measure, options):
            runs = []
            for number in range(options.runs):
                say(f"{measure.name}, {layout.store}, {layout.mode}: run {number + 1} of {options.runs}")
                runs.append(await _run_once(measure, layout, options, clock))
            results.append(_result(measure, layout, options.sizes, runs))
    return Report(machine=machine, runs=options.runs, results=results)


def _layouts(measure: Measure, options: Options) -> list[Layout]:
    modes = [mode for mode in measure.modes if mode == "server" or mode in options.modes]
    return [Layout(store, mode) for store in options.stores for mode in modes]


async def _run_once(measure: Measure, layout: Layout, options: Options, clock: Clock) -> Figures:
    """A system of its own for every run: none finds what another left."""
    async with asyncio.timeout(_RUN_WITHIN):
        async with running(
            layout,
            threads=measure.threads(options.sizes),
            clock=clock,
            folder=options.folder,
            redis_url=options.redis_url,
            warm_up=options.sizes.warm_up,
        ) as system:
            return await measure.run(system, options.sizes)


def _result(measure: Measure, layout: Layout, sizes: Sizes, runs: list[Figures]) -> Result:
    return Result(
        measure=measure.name,
        about=measure.about.format(**sizes._asdict()),
        store=layout.store,
        mode=layout.mode,
        figures={name: summarize([run[name] for run in runs], unit_of(name)) for name in runs[0]},
    )


def _machine() -> Machine:
    return Machine(
        htq=htq.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        reference_ms=reference_ms(),
    )


async def _until_signaled(options: Options, say: Say) -> Report:
    """A SIGTERM ends the benchmark as a Control-C does: through every `finally`."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(options, SystemClock(), say)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main(argv: list[str]) -> int:
    """Run the benchmark: 0, 1 if there is nothing to report, 2 for what can't be asked, 130 when interrupted."""
    options = parse(argv)
    try:
        report = asyncio.run(_until_signaled(options, _say))
    except ConfigError as error:
        _say(f"htq bench: {error}")
        return 2
    except HtqError as error:
        _say(f"htq bench: {error}")
        return 1
    except TimeoutError:
        _say(f"htq bench: a run took longer than {_RUN_WITHIN:g} s")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(
            msgspec.json.format(msgspec.json.encode(report)).decode() + "\n" if options.as_json else render(report)
        )
        sys.stdout.flush()
    return 0
