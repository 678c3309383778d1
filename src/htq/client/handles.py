"""A request that was sent, with what can be done about it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from htq.client.aio import AsyncClient
    from htq.client.blocking import Client

__all__ = ["AsyncSent", "Sent"]


class Sent(dict[str, Any]):
    """The request as the server showed it when it was sent: a dictionary, as in the seed. Its methods ask the server again."""

    def __init__(self, task: dict[str, Any], client: "Client") -> None:
        super().__init__(task)
        self._client = client

    @property
    def uuid(self) -> str:
        return str(self["uuid"])

    def status(self) -> str:
        """As `Client.status`."""
        return self._client.status(self.uuid)

    def response(self) -> dict[str, Any] | None:
        """As `Client.response`."""
        return self._client.response(self.uuid)

    def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """As `Client.wait`."""
        return self._client.wait(self.uuid, timeout)

    def cancel(self) -> None:
        """As `Client.cancel`."""
        self._client.cancel(self.uuid)

    def retry(self) -> "Sent":
        """As `Client.retry`."""
        return self._client.retry(self.uuid)

    def run_now(self) -> "Sent":
        """As `Client.run_now`."""
        return self._client.run_now(self.uuid)


class AsyncSent(dict[str, Any]):
    """`Sent` for asyncio."""

    def __init__(self, task: dict[str, Any], client: "AsyncClient") -> None:
        super().__init__(task)
        self._client = client

    @property
    def uuid(self) -> str:
        return str(self["uuid"])

    async def status(self) -> str:
        """As `Client.status`."""
        return await self._client.status(self.uuid)

    async def response(self) -> dict[str, Any] | None:
        """As `Client.response`."""
        return await self._client.response(self.uuid)

    async def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """As `Client.wait`."""
        return await self._client.wait(self.uuid, timeout)

    async def cancel(self) -> None:
        """As `Client.cancel`."""
        await self._client.cancel(self.uuid)

    async def retry(self) -> "AsyncSent":
        """As `Client.retry`."""
        return await self._client.retry(self.uuid)

    async def run_now(self) -> "AsyncSent":
        """As `Client.run_now`."""
        return await self._client.run_now(self.uuid)
