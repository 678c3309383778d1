"""What the services under test share: the work, which is to hold a connection to the witness, and the registry."""

import asyncio
import os
import socket

from htq.service import PostgresRegistry, RedisRegistry, Registry

__all__ = ["connect_to_witness", "hold", "registry"]


def registry() -> Registry | None:
    """The one that the test asks for."""
    url = os.environ.get("REGISTRY")
    if url is None:
        return None
    return PostgresRegistry(url) if url.startswith("postgresql:") else RedisRegistry(url)


def _address() -> tuple[str, int]:
    host, port = os.environ["WITNESS"].split(":")
    return host, int(port)


async def hold(word: str) -> None:
    """Work until the witness releases it, or this is canceled."""
    reader, writer = await asyncio.open_connection(*_address())
    try:
        writer.write(f"{word}\n".encode())
        await reader.readline()
    finally:
        writer.close()


def connect_to_witness(word: str) -> socket.socket:
    """Begin to work; to read from it is to go on, to close it is to end."""
    connection = socket.create_connection(_address(), timeout=30)
    connection.sendall(f"{word}\n".encode())
    return connection
