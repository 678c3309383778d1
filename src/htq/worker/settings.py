"""What a worker can be told."""

import msgspec

__all__ = ["WorkerSettings"]


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All durations are seconds."""

    threads: int = 10
    """Requests in flight, at most."""
    lease: float = 15.0
    """For how long the store keeps a session's tasks for it without hearing of it."""
    lease_margin: float = 3.0
    """How much earlier than the store the worker gives its own lease up."""
    heartbeat_every: float = 1.0
    drain_timeout: float = 30.0
    """How long requests in flight may go on after a graceful stop was asked for."""
    poll_every: float = 1.0
    """How often to look for work when no signal says that there is some."""
    stop_slots: int = 64
    """DELETEs in flight, at most. They take no slot of the requests."""
    webhook_secrets: tuple[str, ...] = ()
    """`whsec_…`, with each of which callbacks are signed: several while they are rotated."""
