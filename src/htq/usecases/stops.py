"""How a target is told to stop: the task's word over its queue's, and that over the server's, option by option."""

from typing import Final

import msgspec

from htq.policy.fields import check_method, joined, request_headers
from htq.policy.stopping import check_template
from htq.stores.base import QueueSettings
from htq.usecases.settings import CancelDelete
from htq.usecases.wishes import CancelWish
from htq.words.task import StopPolicy

__all__ = ["cancel_wish", "queue_settings", "stop_policy"]

_USUAL: Final = {True: StopPolicy(delete=True), False: StopPolicy(delete=False)}
_SAMPLE: Final = "http://example.com/"
"""Stands for the URL of a task in a queue's template: each task's own is judged when it is accepted."""


def stop_policy(
    wish: CancelWish | None, queue: QueueSettings | None, default: CancelDelete, *, method: str, url: str
) -> StopPolicy:
    """The policy of a task with this method (lower case) and URL. Raises `InvalidField`."""
    delete = default == "always" or (default == "post" and method == "post")
    policy = _USUAL[delete]
    if queue is not None and queue.stop is not None:
        policy = queue.stop if queue.stop_delete_given else msgspec.structs.replace(queue.stop, delete=delete)
        if policy.url is not None and (wish is None or wish.url is None):
            # What is refused now is this task's URL: the template alone was good.
            check_template(policy.url, url, "/url")
    return policy if wish is None else _over(policy, wish, url, "/cancel")


def queue_settings(wish: CancelWish | None) -> QueueSettings:
    """What a queue keeps of its `defaults.cancel`. Raises `InvalidField`."""
    if wish is None:
        return QueueSettings()
    policy = _over(StopPolicy(), wish, _SAMPLE, "/defaults/cancel")
    return QueueSettings(stop=policy, stop_delete_given=wish.delete is not None)


def cancel_wish(policy: StopPolicy) -> CancelWish:
    """How a caller would have said it."""
    return CancelWish(
        delete=policy.delete,
        method=policy.method,
        url=policy.url,
        headers=joined(policy.headers),
        grace=policy.grace,
        on_timeout=policy.on_timeout,
        between=policy.between,
    )


def _over(policy: StopPolicy, wish: CancelWish, url: str, pointer: str) -> StopPolicy:
    """`policy` with what `wish` says in its place."""
    if wish.url is not None:
        check_template(wish.url, url, f"{pointer}/url")
    return StopPolicy(
        delete=policy.delete if wish.delete is None else wish.delete,
        method=policy.method if wish.method is None else check_method(wish.method, f"{pointer}/method"),
        url=policy.url if wish.url is None else wish.url,
        headers=policy.headers if wish.headers is None else request_headers(wish.headers, f"{pointer}/headers"),
        grace=policy.grace if wish.grace is None else wish.grace,
        on_timeout=policy.on_timeout if wish.on_timeout is None else wish.on_timeout,
        between=policy.between if wish.between is None else wish.between,
    )
