"""Log lines: the seed's plain ones, or one JSON object a line.

All go to standard error; standard output is for what a command was asked for. A logger of ours is named `htq.<part>`;
what a line is about goes into `extra` (`log.debug("[%s] sending request...", uuid, extra={"uuid": uuid})`), where the
JSON form picks it up.
"""

import json
import logging
import sys
from typing import TextIO

from htq.policy.settings import LogFormat

__all__ = ["JsonFormatter", "PlainFormatter", "configure"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class PlainFormatter(logging.Formatter):
    """The message and nothing else; what went wrong says so first."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {line}"


class JsonFormatter(logging.Formatter):
    """`time` (epoch milliseconds), `level`, `logger`, `message`, then the extra fields, then `exception` where there is one."""

    def __init__(self) -> None:
        import msgspec

        super().__init__()
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        try:
            return self._encode(fields).decode()
        except (TypeError, ValueError, RecursionError):
            # Half a surrogate pair in somebody's text, or a value that nothing encodes: the line matters more.
            return json.dumps(fields, default=str, skipkeys=True)


def configure(log_format: LogFormat, debug: bool, stream: TextIO | None = None) -> logging.Handler:
    """Send the lines of `htq` to `stream` (standard error), and the warnings of the libraries beneath it too.

    Returns the handler; calling it again replaces what the last call set up.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("htq").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.raiseExceptions = False  # a closed standard error must not stop a worker
    return handler
