"""The Redis of the benchmark: a private server that syncs every write, or one that the caller names."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from htq.bench.processes import BenchFailed, Child, Processes, free_port, reachable
from htq.words.clock import Clock
from htq.words.errors import ConfigError

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["RedisUnderTest", "binary", "given", "start"]


class RedisUnderTest:
    """A Redis whose own figures count. It was empty when the benchmark came, and is empty when it has gone."""

    def __init__(self, url: str, child: Child | None) -> None:
        self.url = url
        self.child = child
        self._client = _client(url)

    def cpu_seconds(self) -> float:
        """What the server has used in all threads and in its children, as it says itself."""
        info = self._client.info("cpu")
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    def used_memory(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        """Remove what the benchmark wrote."""
        self._client.flushdb()
        self._client.close()


def _client(url: str) -> "Redis":
    import redis  # only a benchmark over Redis needs it, and it takes a tenth of a second

    return redis.Redis.from_url(url, socket_timeout=10.0)


def binary() -> str:
    """The server on the PATH. Raises `ConfigError` where there is none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise ConfigError(
        "there is no redis-server or valkey-server on the PATH: install one, or name a server with --redis-url"
    )


def given(url: str) -> RedisUnderTest:
    """A server that the caller runs. Raises `ConfigError` if its database holds anything, `BenchFailed` if it is away."""
    import redis

    client = _client(url)
    try:
        size = client.dbsize()
    except redis.RedisError as error:
        raise BenchFailed(f"{url} does not answer: {error}") from error
    finally:
        client.close()
    if size:
        raise ConfigError(f"{url} holds {size} keys; the benchmark empties its database afterwards: name an empty one")
    return RedisUnderTest(url, None)


async def start(processes: Processes, folder: Path, clock: Clock) -> RedisUnderTest:
    """A server of our own with its data in `folder`.

    Its every reply to a write means that it is on disk, which is what a 303 over SQLite means, too.
    """
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
    }
    command = [binary(), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    child = await processes.start("redis", command)
    await reachable(child, port, clock)
    return RedisUnderTest(f"redis://127.0.0.1:{port}/0", child)
