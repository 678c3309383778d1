"""What the benchmark asks of its load generator, one JSON document a line each way."""

import msgspec

__all__ = ["Accuracy", "Cancels", "Check", "Depth", "Fairness", "Figures", "Flood", "Job", "Paced", "Reply"]

Figures = dict[str, float]
"""Quantities by name; the name ends in the unit."""


class Flood(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Queue `tasks` requests to `path` of the target as fast as `connections` allow, each with one request at a time.

    With `finish`, wait until all of them are done. Gives `submit_s`, `submit_p50_ms`, `submit_p99_ms` and, with `finish`,
    `done_s`: from before the first byte was written.
    """

    api: int
    target: int
    path: str = "/"
    tasks: int
    connections: int = 64
    finish: bool = True


class Check(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Count by status the tasks of the last flood: gives `success`, `queued`, …."""

    api: int


class Paced(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Queue `rate` requests a second, whatever becomes of them, and wait for each response.

    Gives `p50_ms` and `p99_ms` from before a POST is written until the blocking `GET …/response/` has been answered, and
    `late_ms`: by how much the generator missed its own schedule at worst.
    """

    api: int
    target: int
    tasks: int
    rate: float = 50.0


class Cancels(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Have `tasks` requests open at a target that never answers, and cancel them one after another.

    Gives `p50_ms` and `p99_ms` from the 204 until the DELETE is at the target (below 0 where that comes first), and
    `whole_p50_ms`, `whole_p99_ms` from before the cancel is written.
    """

    api: int
    target: int
    tasks: int


class Depth(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Time claims and enqueues of ten tasks each in the store itself, in five shapes.

    `few` tasks in one lane, and in as many lanes (`few_lanes`); `deep` tasks in one lane, and in a tenth as many lanes
    (`deep_lanes`); and these lanes once more, 999 of 1,000 of them held (`held_lanes`). Gives `<shape>_claim_p50_ms`,
    `<shape>_claim_p99_ms`, `<shape>_enqueue_p99_ms`, and for the last three `<shape>_claim_p99_x`: how much dearer than the
    shape of the same spread with few tasks.
    """

    store_url: str
    few: int
    deep: int


class Fairness(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Post `singles` requests of a key of their own, one after the other: alone, and beside `flood` queued ones of another key.

    Each takes 20 ms at the target. Gives `alone_p50_ms`, `alone_p99_ms`, `beside_p50_ms` and `beside_p99_ms`, from before a POST
    is written until its response is there.
    """

    api: int
    target: int
    flood: int
    singles: int


class Accuracy(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Queue at once what a limit of `rate` tasks a second lets through in `seconds`.

    Gives `kept_per_s`, the rate at which they arrived, `most_per_s`, the most in any second, and `apart_p50_ms`.
    """

    api: int
    target: int
    rate: float
    seconds: float


Job = Flood | Check | Paced | Cancels | Depth | Fairness | Accuracy


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job: its figures, or a sentence that says why there are none."""

    figures: Figures = {}
    error: str | None = None
