"""What a server is, and what its settings mean for a 303: looked at when a store is opened."""

import re
from typing import Final
from urllib.parse import urlsplit

from htq.stores.base import StoreInfo
from htq.stores.redis.functions import Functions
from htq.stores.redis.library import SCHEMA
from htq.stores.redis.link import Link
from htq.words.errors import StoreRefused, StoreUnavailable

__all__ = ["inspect", "location_of", "require_schema"]

_OLDEST: Final = (7, 0)

_SYNCED: Final = {
    "always": ("is synced to its disk", ""),
    "everysec": (
        "is written to its append-only file, which is synced to disk once a second",
        "A crash of the Redis machine can lose the last second of accepted tasks; `appendfsync always` loses none.",
    ),
    "no": (
        "is written to its append-only file, which the operating system syncs to disk when it likes",
        "A crash of the Redis machine can lose the last half minute of accepted tasks; `appendfsync always` loses none.",
    ),
}


def location_of(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def inspect(link: Link, url: str, *, allow_eviction: bool) -> StoreInfo:
    """Raises `StoreRefused` where the server is too old, or may throw tasks away."""
    facts = _facts(await link.command("INFO"))
    product = "Valkey" if "valkey_version" in facts else "Redis"
    version = facts.get("redis_version", "0")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        raise StoreRefused(
            f"Redis {version} is too old: htq needs Redis {'.'.join(map(str, _OLDEST))} or later, or Valkey."
        )
    settings = await _settings(link)
    warnings = []
    policy = settings.get("maxmemory-policy") or facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        if not allow_eviction:
            raise StoreRefused(
                f"This {product} may throw tasks away when its memory is full (`maxmemory-policy {policy}`). "
                "Set it to `noeviction`, or use a server of its own for htq."
            )
        warnings.append(f"Tasks can be thrown away when memory is full (`maxmemory-policy {policy}`).")
    durability, warning = _durability(product, facts, settings)
    if warning:
        warnings.append(warning)
    if int(facts.get("connected_slaves", "0")):
        warnings.append(
            "A failover to a replica can lose the last accepted tasks: replication does not wait for the replica."
        )
    return StoreInfo(kind="redis", location=location_of(url), durability=durability, warnings=tuple(warnings))


async def require_schema(functions: Functions) -> None:
    """Mark a new instance with the layout of its keys. Raises `StoreRefused` where it has a layout that is not ours.

    An instance of the former layout is taken over once nothing in it is alive.
    """
    found, _ = await functions.step("adopt", (SCHEMA,))
    if found == SCHEMA:
        return
    way = "Let that version end its tasks, and stop its processes" if found < SCHEMA else "Install that version again"
    raise StoreRefused(
        f"The tasks in this Redis were written by another version of htq (schema {found}; this one knows {SCHEMA}). "
        f"{way}, or name another namespace."
    )


def _facts(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


async def _settings(link: Link) -> dict[str, str]:
    """The settings that matter; empty where the server does not tell them."""
    try:
        flat = await link.command("CONFIG", "GET", "append*", "save", "maxmemory-policy")
    except StoreRefused:
        return {}
    except StoreUnavailable as error:
        # Hosted servers rename or drop CONFIG.
        if "unknown command" in str(error).lower():
            return {}
        raise
    words = [part.decode(errors="replace") for part in flat]
    return dict(zip(words[::2], words[1::2], strict=True))


def _durability(product: str, facts: dict[str, str], settings: dict[str, str]) -> tuple[str, str]:
    """A sentence, and a warning or nothing."""
    if not settings:
        file = "keeps" if facts.get("aof_enabled") == "1" else "does not keep"
        return (
            f"An accepted task is in the memory of {product}; it {file} an append-only file, and does not tell when it syncs it.",
            "What an accepted task survives is unknown: the server does not let htq read its settings (CONFIG GET).",
        )
    if settings.get("appendonly") == "yes":
        synced, warning = _SYNCED[settings.get("appendfsync", "no")]
        return f"An accepted task {synced} by {product} before the answer.", warning
    if settings.get("save"):
        return (
            f"An accepted task is in the memory of {product}, and on disk with its next snapshot (`save {settings['save']}`).",
            "A crash loses what was accepted since the last snapshot; `appendonly yes` and `appendfsync always` lose none.",
        )
    return (
        f"An accepted task is in the memory of {product} alone.",
        "A restart of the server loses every task; `appendonly yes` and `appendfsync always` lose none.",
    )
