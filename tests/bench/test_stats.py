"""Percentiles and summaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.bench.stats import percentile, summarize

_SAMPLES = st.lists(st.floats(-1e9, 1e9), min_size=1)


def test_percentile_is_the_nearest_rank() -> None:
    hundred = list(range(100, 0, -1))
    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile(hundred, 1.0) == 100
    assert percentile(hundred, 0.0) == 1


def test_percentile_of_one_sample_is_that_sample() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


@given(_SAMPLES, st.floats(0, 1))
def test_percentile_is_a_sample_that_the_share_does_not_exceed(samples: list[float], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= share * len(samples)


def test_figures_need_samples() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="no runs"):
        summarize([], "s")


def test_summary_keeps_the_runs_in_their_order() -> None:
    figure = summarize([3.0, 1.0, 2.0], "ms")
    assert (figure.median, figure.min, figure.max, figure.runs, figure.unit) == (2.0, 1.0, 3.0, [3.0, 1.0, 2.0], "ms")
