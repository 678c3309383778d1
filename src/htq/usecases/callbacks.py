"""Callbacks: from what a caller says to what is stored with a task or a group, and back."""

from htq.policy.target import parse_target
from htq.usecases.wishes import CallbackWish
from htq.words.callback import CALLBACK_ON, Callback
from htq.words.errors import InvalidField

__all__ = ["callback_of", "callback_wish"]


def callback_of(wish: str | CallbackWish, source: str, pointer: str = "/callback") -> Callback:
    """The callback of a task that the server at the base URL `source` takes. Raises `InvalidField`.

    Its address is judged as that of any target, here and when it is dialled.
    """
    if isinstance(wish, str):
        wish, where = CallbackWish(url=wish), pointer
    else:
        where = f"{pointer}/url"
    try:
        parse_target(wish.url)
    except InvalidField as error:
        raise InvalidField(str(error), where) from None
    return Callback(
        url=wish.url,
        on=CALLBACK_ON if wish.on is None else tuple(dict.fromkeys(wish.on)),
        include=wish.include or "link",
        source=source,
        queue=wish.queue or "default",
    )


def callback_wish(callback: Callback) -> CallbackWish:
    """How a caller would have said it, without what is usual."""
    return CallbackWish(
        url=callback.url,
        on=None if callback.on == CALLBACK_ON else list(callback.on),
        include=None if callback.include == "link" else callback.include,
        queue=None if callback.queue == "default" else callback.queue,
    )
