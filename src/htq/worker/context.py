"""What every part of a session works with."""

from typing import NamedTuple

from htq.policy.store_time import StoreTime
from htq.sender.base import Sender
from htq.stores.base import Store
from htq.words.clock import Chance, Clock
from htq.worker.persist import Persistence
from htq.worker.settings import WorkerSettings

__all__ = ["Context"]


class Context(NamedTuple):
    """Made by the worker, once for each session."""

    session: str
    store: Store
    sender: Sender
    clock: Clock
    time: StoreTime
    """What the store is told of times is by its clock."""
    chance: Chance
    persist: Persistence
    settings: WorkerSettings
    signing_keys: tuple[bytes, ...] = ()
