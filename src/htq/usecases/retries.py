"""Retries: from what a caller and a queue say to the policy that is stored with a task, and back."""

import re
from typing import Final

import msgspec

from htq.usecases.times import plain, seconds
from htq.usecases.wishes import BackoffWish, RetryWish
from htq.words.errors import InvalidField
from htq.words.retry import RETRY_ON, RetryPolicy

__all__ = ["RETRY_WORDS", "retry_policy", "retry_wish"]

RETRY_WORDS: Final = (
    "connect",
    "timeout",
    "dns",
    "tls",
    "connection_reused",
    "reset",
    "first_byte",
    "idle",
    "total",
    "protocol",
    "too_large",
    "redirects",
)
"""What may stand in `on` besides codes: kinds of failures (`htq.words.reasons`), and two words for several of them."""

_DAY: Final = 86400.0
_CODE: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_USUAL: Final = RetryPolicy(max=3)


def retry_policy(
    wish: int | RetryWish | None, queue: int | RetryWish | None = None, pointer: str = "/retry"
) -> RetryPolicy | None:
    """What `wish` says, over what `queue` says, over what is usual; None where neither says anything. Raises `InvalidField`.

    `pointer` leads to `wish`. A queue's own word was judged when it was put.
    """
    if wish is None:
        return None if queue is None else retry_policy(queue, None, pointer)
    own = RetryWish(max=wish) if isinstance(wish, int) else wish
    policy = _policy(own, pointer)
    if queue is None:
        return policy
    general = RetryWish(max=queue) if isinstance(queue, int) else queue
    said = {name: value for name in own.__struct_fields__ if (value := getattr(own, name)) is not None}
    return _policy(msgspec.structs.replace(general, **said), pointer)


def retry_wish(policy: RetryPolicy) -> RetryWish:
    """How a caller would have said it, without what is usual."""
    backoff: BackoffWish | list[float | str] | None
    if policy.delays:
        backoff = [plain(delay) for delay in policy.delays]
    else:
        backoff = BackoffWish(
            base=None if policy.base == _USUAL.base else plain(policy.base),
            factor=None if policy.factor == _USUAL.factor else plain(policy.factor),
            max=None if policy.longest == _USUAL.longest else plain(policy.longest),
            jitter=None if policy.jitter == _USUAL.jitter else policy.jitter,
        )
        if backoff == BackoffWish():
            backoff = None
    return RetryWish(
        max=policy.max,
        backoff=backoff,
        on=None if policy.on == RETRY_ON else [int(what) if what.isdigit() else what for what in policy.on],
        max_elapsed=None if policy.max_elapsed is None else plain(policy.max_elapsed),
    )


def _policy(wish: RetryWish, pointer: str) -> RetryPolicy:
    policy = _USUAL
    backoff = wish.backoff
    if isinstance(backoff, list):
        delays = tuple(seconds(delay, f"{pointer}/backoff/{at}", most=7 * _DAY) for at, delay in enumerate(backoff))
        policy = msgspec.structs.replace(policy, max=len(delays), delays=delays)
    elif backoff is not None:
        at = f"{pointer}/backoff"
        policy = msgspec.structs.replace(
            policy,
            base=policy.base if backoff.base is None else seconds(backoff.base, f"{at}/base", least=0.001, most=_DAY),
            factor=policy.factor if backoff.factor is None else backoff.factor,
            longest=policy.longest
            if backoff.max is None
            else seconds(backoff.max, f"{at}/max", least=0.001, most=7 * _DAY),
            jitter=policy.jitter if backoff.jitter is None else backoff.jitter,
        )
    return msgspec.structs.replace(
        policy,
        max=policy.max if wish.max is None else wish.max,
        on=policy.on if wish.on is None else _failures(wish.on, f"{pointer}/on"),
        max_elapsed=None
        if wish.max_elapsed is None
        else seconds(wish.max_elapsed, f"{pointer}/max_elapsed", least=0.001, most=30 * _DAY),
    )


def _failures(given: list[int | str], pointer: str) -> tuple[str, ...]:
    """Each once, codes as text."""
    found: dict[str, None] = {}
    for at, what in enumerate(given):
        word = str(what) if isinstance(what, str) or 0 <= what < 1000 else ""
        if word not in RETRY_WORDS and _CODE.fullmatch(word) is None:
            raise InvalidField(
                f'on takes codes from 100 to 599, classes such as "5xx", and the words {", ".join(RETRY_WORDS)}.',
                f"{pointer}/{at}",
            )
        found[word] = None
    return tuple(found)
