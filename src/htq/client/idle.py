"""Whether a kept connection can still be used."""

import select

__all__ = ["has_ended"]


def has_ended(descriptor: int) -> bool:
    """Whether anything came over an idle connection: it can only be its end."""
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
