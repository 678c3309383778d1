"""The use cases: what can be asked of htq, whoever asks. A door calls these and nothing below them."""

from htq.usecases.queues import Queue, QueueDefaults, QueueWish
from htq.usecases.results import Result
from htq.usecases.service import TaskService
from htq.usecases.settings import CancelDelete, ServiceSettings
from htq.usecases.submission import CancelWish, Submission, TimeoutWish

__all__ = [
    "CancelDelete",
    "CancelWish",
    "Queue",
    "QueueDefaults",
    "QueueWish",
    "Result",
    "ServiceSettings",
    "Submission",
    "TaskService",
    "TimeoutWish",
]
