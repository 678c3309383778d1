"""The use cases: what can be asked of htq, whoever asks. A door calls these and nothing below them."""

from htq.usecases.change import Change, ChangeWish
from htq.usecases.changes import ChangeService
from htq.usecases.defaults import QueueDefaults
from htq.usecases.queue_wishes import LaneWish, PauseWish, QueueWish
from htq.usecases.queues import Queue, QueueService
from htq.usecases.results import Result
from htq.usecases.service import Submitted, TaskService
from htq.usecases.settings import CancelDelete, ServiceSettings
from htq.usecases.submission import Submission
from htq.usecases.wishes import CallbackWish, CancelWish, RetryWish, TimeoutWish

__all__ = [
    "CallbackWish",
    "CancelDelete",
    "CancelWish",
    "Change",
    "ChangeService",
    "ChangeWish",
    "LaneWish",
    "PauseWish",
    "Queue",
    "QueueDefaults",
    "QueueService",
    "QueueWish",
    "Result",
    "RetryWish",
    "ServiceSettings",
    "Submission",
    "Submitted",
    "TaskService",
    "TimeoutWish",
]
