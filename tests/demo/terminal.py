"""A terminal for a program under test: what it writes can be waited for, and keys can be pressed."""

import os
import re
import select
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

_SILENCE = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """Runs a program on a pty of its own; it is killed at the end if it has not ended."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], *, columns: int = 80) -> None:
        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (50, columns))
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """What has been read so far, without colors."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, pattern: str) -> None:
        """Read on until the text matches. Fails at the end of the program, and after a minute of silence."""
        while not re.search(pattern, self.text):
            assert self._read(), f"it ended without {pattern!r}:\n{self.text}"

    def read_to_end(self) -> int:
        """Read all that is still to come; the exit code."""
        while self._read():
            pass
        return self.process.wait(_SILENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], _SILENCE)
        assert ready, f"nothing for {_SILENCE:g} s after:\n{self.text}"
        data = b""
        with suppress(OSError):  # Linux answers EIO when the last one has closed the other side
            data = os.read(self._master, 65536)
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
