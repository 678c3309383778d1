"""The wire: our own HTTP/1.1 behind a contract of one method. See `docs/design/wire.md`."""

from htq.sender.base import BodyStream, Exchange, Message, Reply, Sender, Sink
from htq.sender.http import HttpSender

__all__ = ["BodyStream", "Exchange", "HttpSender", "Message", "Reply", "Sender", "Sink"]
