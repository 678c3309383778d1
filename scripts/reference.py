"""Writes the pages of docs/reference that are made from tables in the code; with --check it only says which are stale.

Run it with `.venv/bin/python scripts/reference.py`.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from htq.api.problems import INTERNAL, PROBLEMS
from htq.api.routes import ROUTES
from htq.cli.reference import commands_page, settings_page
from htq.usecases.batches import BatchItem
from htq.usecases.change import ChangeWish
from htq.usecases.defaults import QueueDefaults
from htq.usecases.groups import GroupWish
from htq.usecases.queue_wishes import BreakerWish, LaneWish, LimitsWish, PauseWish, QueueWish, RateWish
from htq.usecases.retries import RETRY_WORDS
from htq.usecases.schedules import ScheduleWish
from htq.usecases.submission import Submission
from htq.usecases.wishes import BackoffWish, CallbackWish, CancelWish, RetryWish, TimeoutWish
from htq.words.reasons import REASONS
from htq.words.states import TRANSITIONS

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
MADE = "Made by `scripts/reference.py`; a test checks that it is up to date.\n"


def described(struct: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Each field of a struct with its description."""
    rows = []
    for name, hint in get_type_hints(struct, include_extras=True).items():
        metas = [meta for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta)]
        assert get_origin(hint) is Annotated, f"{struct.__name__}.{name} is not described"
        rows.append((name, next(meta.description for meta in metas if meta.description)))
    return rows


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def fields(struct: type[msgspec.Struct], head: str = "field") -> str:
    """A table of the fields of a struct, as they are called in JSON."""
    names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    return table((head, "what it says"), [(f"`{names[name]}`", text) for name, text in described(struct)])


def tasks_page() -> str:
    words = ", ".join(f"`{word}`" for word in RETRY_WORDS)
    return f"""# The fields of a request

{MADE}
`POST /` takes a JSON object with these fields. Only `url` is needed; an unknown field is a 422 that names it. A field that is
left out is as its queue says ([Queues](queues.md)), else as usual.

{fields(Submission)}
An item of a batch may have one more:

{fields_besides(BatchItem, Submission)}
`timeout` as an object:

{fields(TimeoutWish, "bound")}
`retry` as an object ([Try again](../how-to/retries.md)):

{fields(RetryWish)}
The words of `on` are {words}; [what they mean](errors.md). `backoff` as an object:

{fields(BackoffWish)}
`callback` as an object:

{fields(CallbackWish)}
`cancel`, of a request and in the `defaults` of its queue ([Canceling](../canceling.md)):

{fields(CancelWish, "option")}
## What can be changed

`PATCH /<uuid>/` takes these, as a JSON merge patch (RFC 7396), as long as the request has not started:

{fields(ChangeWish)}"""


def fields_besides(struct: type[msgspec.Struct], base: type[msgspec.Struct]) -> str:
    """A table of the fields that a struct has and its base has not."""
    rows = [(f"`{name}`", text) for name, text in described(struct) if name not in base.__struct_fields__]
    return table(("field", "what it says"), rows)


def queues_page() -> str:
    return f"""# The fields of queues, lanes, groups and schedules

{MADE}
A `PUT` takes the place of all that was said before. What is left out is as usual.

## Queues

`PUT /queues/<name>/` ([how to](../how-to/queues.md)):

{fields(QueueWish)}
A window of `rate`:

{fields(RateWish)}
`per_key`:

{fields(LimitsWish)}
`breaker`:

{fields(BreakerWish)}
`defaults`, each of them as in [a request](tasks.md), but for times, which count from when a request is due:

{fields(QueueDefaults)}
`POST /queues/<name>/pause/`, with a body or without:

{fields(PauseWish)}
## Lanes

`PUT /queues/<name>/keys/<key>/` ([how to](../how-to/limits.md)), the key percent-encoded where it is a URL:

{fields(LaneWish)}
## Groups

`PUT /groups/<name>/` ([how to](../how-to/batches.md)):

{fields(GroupWish)}
## Schedules

`PUT /schedules/<name>/` ([how to](../how-to/schedules.md)):

{fields(ScheduleWish)}"""


def http_page() -> str:
    slashes = "Every path works with and without its last slash. HEAD comes with GET, OPTIONS with all."
    parts = [f"# The HTTP interface\n\n{MADE}\n{slashes}\n"]
    for route in ROUTES:
        for verb, operation in route.verbs.items():
            parts.append(f"\n## `{verb} {route.path}`\n\n{operation.summary}.\n\n")
            parts.append(table(("answer", ""), [(answer.status, answer.description) for answer in operation.answers]))
            asked = [(f"`{each.name}`", each.description) for each in (*operation.query, *operation.headers)]
            if asked:
                parts.append("\n" + table(("parameter or header", ""), asked))
    return "".join(parts)


def errors_page() -> str:
    kinds = table(
        ("code", "type", "meaning"),
        [(kind.status, f"`{kind.uri}`", kind.meaning) for kind in (*dict.fromkeys(PROBLEMS.values()), INTERNAL)],
    )
    reasons = table(("reason", "meaning"), [(f"`{reason}`", meaning) for reason, meaning in REASONS.items()])
    return f"""# Errors and reasons

{MADE}
## On the wire

Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`, a `detail` that says what to do, and for a field
that can't be taken a `pointer` (RFC 6901) to it.

{kinds}
## Why a request ended

A request that ended in `error` or `timeout` has a `reason`, which its response calls `error` (`reason` is the phrase of the status
line there), and every attempt that failed has one too:

{reasons}"""


def states_page() -> str:
    def words(states: frozenset[str]) -> str:
        return ", ".join(f"`{state}`" for state in sorted(states)) or "–"

    rows = [
        (
            f"`{row.verb}`",
            words(row.sources),
            words(row.targets),
            f"`{row.canceled_to}`" if row.canceled_to else "",
            row.note,
        )
        for row in TRANSITIONS
    ]
    return f"""# States

{MADE}
Stored are `scheduled` `queued` `pending` `success` `error` `timeout` `canceled`; shown as `status` are the last six. A scheduled
request shows `queued`; a pending one whose cancel was requested shows `canceled` at once.

{table(("verb", "from", "to", "where a cancel was requested", "notes"), rows)}"""


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "tasks.md": tasks_page,
    "queues.md": queues_page,
    "http.md": http_page,
    "errors.md": errors_page,
    "states.md": states_page,
}


def main() -> int:
    stale = [name for name, page in PAGES.items() if not _is_written(name, page())]
    if "--check" in sys.argv:
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is stale: run scripts/reference.py\n")
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(PAGES[name]())
    return 0


def _is_written(name: str, text: str) -> bool:
    path = FOLDER / name
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main())
