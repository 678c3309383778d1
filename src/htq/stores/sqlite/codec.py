"""What lies in the columns: uuids as 16 bytes, states as numbers, records as msgpack."""

from typing import Final

import msgspec

from htq.stores.base import QueueSettings, SessionInfo
from htq.words.attempt import AttemptRecord
from htq.words.callback import Callback
from htq.words.limits import Breaker
from htq.words.schedule import Schedule
from htq.words.states import STATES, State
from htq.words.task import Request, Response

__all__ = [
    "CANCELED",
    "CODES",
    "ERROR",
    "FINAL_FROM",
    "PENDING",
    "QUEUED",
    "SCHEDULED",
    "TIMEOUT",
    "UNREADABLE",
    "decode_attempt",
    "decode_callback",
    "decode_queue",
    "decode_request",
    "decode_response",
    "decode_schedule",
    "encode",
    "key_of",
    "uuid_of",
]

CODES: Final[dict[State, int]] = {state: code for code, state in enumerate(STATES)}
SCHEDULED: Final = CODES["scheduled"]
QUEUED: Final = CODES["queued"]
PENDING: Final = CODES["pending"]
ERROR: Final = CODES["error"]
TIMEOUT: Final = CODES["timeout"]
CANCELED: Final = CODES["canceled"]
FINAL_FROM: Final = CODES["success"]
"""The first of the final states. The schema's indexes name these numbers."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError)
"""What decoding raises where the file was damaged: text that is not UTF-8 is no error of msgspec's own."""

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_responses = msgspec.msgpack.Decoder(Response)
_attempts = msgspec.msgpack.Decoder(AttemptRecord)
_queues = msgspec.msgpack.Decoder(QueueSettings)
_callbacks = msgspec.msgpack.Decoder(Callback)
_schedules = msgspec.msgpack.Decoder(Schedule)

_Record = Request | Response | AttemptRecord | SessionInfo | QueueSettings | Callback | Schedule | Breaker


def encode(record: _Record) -> bytes:
    return _encoder.encode(record)


def decode_request(data: bytes) -> Request:
    return _requests.decode(data)


def decode_response(data: bytes) -> Response:
    return _responses.decode(data)


def decode_attempt(data: bytes) -> AttemptRecord:
    return _attempts.decode(data)


def decode_queue(data: bytes) -> QueueSettings:
    return _queues.decode(data)


def decode_callback(data: bytes) -> Callback:
    return _callbacks.decode(data)


def decode_schedule(data: bytes) -> Schedule:
    return _schedules.decode(data)


def key_of(uuid: str) -> bytes:
    """The 16 bytes of a uuid; of anything else the empty key, which no row has."""
    try:
        key = bytes.fromhex(uuid.replace("-", ""))
    except ValueError:
        return b""
    return key if len(key) == 16 else b""


def uuid_of(key: bytes) -> str:
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
