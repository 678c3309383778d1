"""The keeper: what has to be done from time to time, by any process and as many as there are. See `docs/design/keeper.md`.

Every duty is one guarded step of the store, or ends in one that may be repeated: harmless when two do it, so there is no leader.
Signals make a duty quick, and nothing depends on them: each looks for itself once a second or so.
"""

from htq.keeper.keeper import (
    CALLBACKS_EVERY,
    EXPIRE_EVERY,
    FIRE_EVERY,
    FORGET_EVERY,
    PROMOTE_EVERY,
    REAP_EVERY,
    Keeper,
)

__all__ = [
    "CALLBACKS_EVERY",
    "EXPIRE_EVERY",
    "FIRE_EVERY",
    "FORGET_EVERY",
    "PROMOTE_EVERY",
    "REAP_EVERY",
    "Keeper",
]
