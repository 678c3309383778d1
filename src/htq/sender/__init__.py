"""The wire: our own HTTP/1.1 behind a contract of one method. See `docs/design/wire.md`."""

from htq.sender.base import BodyStream, Exchange, Message, Reply, Sender, Sink
from htq.sender.http import HttpSender
from htq.sender.pool import Pool

__all__ = ["BodyStream", "Exchange", "HttpSender", "Message", "Pool", "Reply", "Sender", "Sink"]
