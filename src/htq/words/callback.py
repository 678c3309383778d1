"""Callbacks: a request that htq sends when a task or a group has ended."""

from typing import Literal

import msgspec

__all__ = ["CALLBACK_ON", "Callback", "CallbackOn"]

CallbackOn = Literal["success", "error", "timeout", "canceled"]

CALLBACK_ON: tuple[CallbackOn, ...] = ("success", "error", "timeout", "canceled")


class Callback(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where to say that it has ended. It becomes a task of its own, with retries, in the lane of its target."""

    url: str
    on: tuple[CallbackOn, ...] = CALLBACK_ON
    """The ends that are told. A group's callback looks at none of them."""
    include: Literal["body", "link"] = "link"
    """Whether the response goes along, or only its address."""
    source: str
    """The base URL of the server that took the task: what a receiver sees as the event's source, and links begin with."""
    queue: str = "default"
