"""Hints between the processes that share a file: one unix datagram a commit, to every store object that has bound a socket.

The sockets lie in a short folder named after the database (a path of a socket has about 100 bytes). Sending never waits: a
full or vanished receiver misses a hint, and a poll of the database makes up for it. A socket that nobody listens on any
more is removed by whoever notices.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from htq.stores.sqlite.codec import UNREADABLE
from htq.stores.sqlite.news import News

__all__ = ["Hints"]

_LONGEST_PATH = 100
_LARGEST = 32 * 1024
"""Bytes of a hint. A longer one is sent as the empty datagram, which means: look for yourself."""
_AT_ONCE = 64
"""Hints read in one turn of the event loop."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(News)


class Hints:
    """One socket to hear with, and one to speak with. `open` and `close` belong to the loop, `send` to the writer's thread."""

    def __init__(self, database: Path, name: str, heard: Callable[[News | None], None]) -> None:
        """`name` tells this store object from others; `heard` is called on the loop."""
        self._database = database
        self._folder: Path | None = None
        self._name = name
        self._heard = heard
        self._ear: socket.socket | None = None
        self._mouth: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._peers: list[str] = []
        self._seen_at = -1

    def open(self) -> None:
        """Begin to listen. Where no socket can be had there are no hints, and polling has to do."""
        # The folder may go between its making and the binding: the last one to leave it takes it away.
        ear = self._bind() or self._bind()
        if ear is None:
            return
        self._ear = ear
        self._mouth = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ear.fileno(), self._hear)

    def _bind(self) -> socket.socket | None:
        self._folder = _folder(self._database)
        if self._folder is None:
            return None
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            ear.bind(str(self._folder / self._name))
        except OSError:
            ear.close()
            return None
        return ear

    def close(self) -> None:
        """The writer has ended before: nobody sends any more."""
        if self._ear is None or self._mouth is None or self._loop is None or self._folder is None:
            return
        self._loop.remove_reader(self._ear.fileno())
        self._ear.close()
        _remove(self._folder / self._name)
        self._remove_dead(self._mouth)
        self._mouth.close()
        self._ear = self._mouth = None
        with contextlib.suppress(OSError):
            self._folder.rmdir()
            self._folder.parent.rmdir()

    def send(self, news: News) -> None:
        """Tell the others. Loses what it can't send at once."""
        mouth = self._mouth
        if mouth is None:
            return
        peers = self._others()
        if not peers:
            return
        data = _encoder.encode(news)
        if len(data) > _LARGEST:
            data = b""
        for peer in peers:
            try:
                mouth.sendto(data, peer)
            except ConnectionRefusedError:
                _remove(peer)
            except OSError:
                # Its queue is full, or it has just gone: it will find out by its poll.
                continue

    def _remove_dead(self, mouth: socket.socket) -> None:
        """Remove the sockets of processes that were killed: they would keep the folder for ever."""
        for peer in self._others():
            try:
                mouth.connect(peer)
            except ConnectionRefusedError:
                _remove(peer)
            except OSError:
                continue

    def _others(self) -> list[str]:
        """The other sockets; listed again only when the folder has changed."""
        assert self._folder is not None
        try:
            changed_at = self._folder.stat().st_mtime_ns
            if changed_at != self._seen_at:
                self._peers = [entry.path for entry in os.scandir(self._folder) if entry.name != self._name]
                self._seen_at = changed_at
        except OSError:
            self._peers = []
        return self._peers

    def _hear(self) -> None:
        assert self._ear is not None
        ear = self._ear
        for _ in range(_AT_ONCE):
            try:
                data = ear.recv(_LARGEST)
            except OSError:
                return
            try:
                news = _decoder.decode(data) if data else None
            except UNREADABLE:
                news = None  # from another version of htq
            self._heard(news)


def _remove(peer: str | Path) -> None:
    """Where that is forbidden or it has gone, all goes on as before."""
    with contextlib.suppress(OSError):
        Path(peer).unlink()


def _folder(database: Path) -> Path | None:
    """The folder of this database's sockets, made if need be and nobody else's; None where there is no fit one."""
    name = hashlib.sha256(os.fsencode(database.resolve())).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for base in (Path(runtime) / "htq" if runtime else None, Path(tempfile.gettempdir()) / f"htq-{os.getuid()}"):
        if base is None or len(os.fsencode(base / name)) + 20 > _LONGEST_PATH:
            continue
        try:
            if _make(base) and _make(base / name):
                return base / name
        except OSError:
            continue
    return None


def _make(folder: Path) -> bool:
    """Make it if need be, and itself alone: `parents` would be open to a group where new files are.

    Returns whether nobody else can write into it: whoever can, could make us believe anything and delete our sockets.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
