"""`htq bench`: the whole system measured end to end, from outside, against a fast target on loopback.

How each figure is taken, and what it means, is in `docs/reference/benchmark.md`.
"""

from htq.bench.command import main

__all__ = ["main"]
