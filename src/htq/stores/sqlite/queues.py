"""The settings of queues, by name: apart from `queues`, whose rows come and go with their tasks."""

import apsw

from htq.stores.base import QueueSettings
from htq.stores.sqlite.codec import decode_queue, encode
from htq.stores.sqlite.step import Step

__all__ = ["put_queue", "queues"]


def put_queue(step: Step, name: str, settings: QueueSettings) -> None:
    step.db.execute(
        "INSERT OR REPLACE INTO queue_settings (name, settings) VALUES (?, ?)",
        (name, encode(settings)),
    )


def queues(db: apsw.Connection) -> dict[str, QueueSettings]:
    rows = db.execute("SELECT name, settings FROM queue_settings ORDER BY name")
    return {name: decode_queue(packed) for name, packed in rows}
