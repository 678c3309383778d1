"""What a bench says of its samples: percentiles of one run, and the median of several runs with their span."""

import math
import statistics
from collections.abc import Sequence

import msgspec

__all__ = ["Figure", "percentile", "summarize"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity over all runs. `runs` keeps what each of them gave, in their order."""

    unit: str
    median: float
    min: float
    max: float
    runs: list[float]


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed: nearest rank, never interpolated.

    Raises `ValueError` for no samples.
    """
    if not samples:
        raise ValueError("a percentile of nothing")
    rank = math.ceil(share * len(samples))
    return sorted(samples)[max(rank, 1) - 1]


def summarize(runs: Sequence[float], unit: str) -> Figure:
    """Several runs of one quantity as one figure. Raises `ValueError` for no runs."""
    if not runs:
        raise ValueError("a figure of no runs")
    return Figure(unit=unit, median=statistics.median(runs), min=min(runs), max=max(runs), runs=list(runs))
