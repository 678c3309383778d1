"""The worker: claims tasks, makes attempts, keeps its lease, stops what is canceled, hands results to the store.

The essay is `docs/design/worker.md`. `Worker` runs one `WorkerSession` after another; in a session the fetcher, the
attempts, the completer, the stop pool and the heartbeat are tasks of one group, so that if one dies all do, loudly.
"""

from htq.worker.settings import WorkerSettings
from htq.worker.worker import Worker

__all__ = ["Worker", "WorkerSettings"]
