"""The API without a server: calls of the ASGI application in this very process, over a real store."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

from htq.api.app import App, make_app
from htq.api.settings import ApiSettings
from htq.stores.base import Canceled, Claim, Done, Outcome, SessionInfo, Store
from htq.stores.sqlite import SqliteStore
from htq.usecases import ServiceSettings, TaskService
from htq.words.attempt import AttemptRecord, Phase
from htq.words.clock import Chance
from htq.words.reasons import Reason
from htq.words.task import Headers, Response
from support.clock import ManualClock

__all__ = ["JSON", "Answer", "Api", "HeardClock", "LoopTurns", "api_over", "api_over_sqlite"]

JSON = {"Content-Type": "application/json"}


class HeardClock:
    """The service's view of the clock, which tells when it has gone to sleep, so that a test knows when to let time pass."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sleeper = asyncio.Event()
        self.now_ms = clock.now_ms
        self.steady = clock.steady
        self.advance = clock.advance

    async def sleep(self, seconds: float) -> None:
        self.sleeper.set()
        await self._clock.sleep(seconds)

    async def pass_when_slept_on(self, seconds: float) -> None:
        """Wait for a sleeper, then let `seconds` pass."""
        async with asyncio.timeout(5):
            await self.sleeper.wait()
        self.sleeper.clear()
        self.advance(seconds)


class LoopTurns:
    """Counts how often the event loop comes to others while the `with` is under way."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._next = self._loop.call_soon(self._turn)
        return self

    def __exit__(self, *error: object) -> None:
        self._next.cancel()

    def _turn(self) -> None:
        self.count += 1
        self._next = self._loop.call_soon(self._turn)


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        """Which problem it is."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["detail"]
        return str(problem["type"]).removeprefix("/problems/")


class Api:
    """The application, what it stands on, and a worker's part played by hand."""

    def __init__(self, app: App, service: TaskService, store: Store, clock: HeardClock) -> None:
        self.app = app
        self.service = service
        self.store = store
        self.clock = clock
        self.session = ""
        self._seq = 0

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        gone: asyncio.Event | None = None,
        scheme: str = "http",
    ) -> Answer:
        """One request, its body whole or in pieces. `gone` is set when its caller hangs up."""
        path, _, query = target.partition("?")
        lines = {"Host": "localhost:5000", **(headers or {})}
        sent: list[Any] = []
        pieces = [body] if isinstance(body, bytes) else [*body, b""]
        parts: list[Any] = [{"type": "http.request", "body": piece, "more_body": True} for piece in reversed(pieces)]
        parts[0]["more_body"] = False

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": query.encode(),
            "scheme": scheme,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()],
        }
        async with asyncio.timeout(30):
            await self.app(scope, receive, send)
        if not sent:
            return Answer(0, {}, b"")
        names = [name.decode() for name, _ in sent[0]["headers"]]
        assert len(names) == len(set(names)), "a header stands there twice"
        answered = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], answered, b"".join(message["body"] for message in sent[1:]))

    async def post(self, task: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Queue a task; text and bytes go as they are."""
        body = task if isinstance(task, bytes) else json.dumps(task).encode()
        return await self.ask("POST", "/", body, {**JSON, **(headers or {})})

    async def queue(self, **fields: object) -> str:
        """The uuid of a new task."""
        answer = await self.post({"url": "http://127.0.0.1:9/work", **fields})
        assert answer.status == 303, answer.body
        return str(answer.json["uuid"])

    async def claims(self) -> list[Claim]:
        """What a worker is given that has a slot free: one task, or none."""
        if not self.session:
            info = SessionInfo(host="here", pid=1, threads=1, version="0")
            self.session = await self.store.open_session(info, 600.0)
        self._seq += 1
        return (await self.store.claim(self.session, self._seq, 1)).claims

    async def claim(self) -> Claim:
        """Take the next task, as a worker."""
        (claim,) = await self.claims()
        return claim

    async def finish(
        self,
        claim: Claim,
        body: bytes = b"done",
        *,
        code: int | None = 200,
        headers: Headers = (("Content-Type", "text/plain"),),
        reason: Reason | None = None,
        phase: Phase = "finished",
        canceled: bool = False,
    ) -> None:
        """End an attempt; with a `reason`, or without a code, it failed."""
        failed = code is None or reason is not None
        response = Response(
            time=self.clock.now_ms(),
            elapsed_ms=79.81,
            message="It went wrong." if failed else None,
            code=code,
            phrase="OK" if code else "",
            headers=headers,
            body=body if code else b"",
            body_size=len(body) if code else 0,
        )
        done = Done("timeout" if reason == "total" else "error" if failed else "success", response, reason)
        outcome = Outcome(
            uuid=claim.uuid,
            attempt=claim.attempt,
            result=Canceled() if canceled else done,
            record=AttemptRecord(attempt=claim.attempt, session=self.session, claimed_at=claim.claimed_at, phase=phase),
            phase=phase,
            interrupted_at=self.clock.now_ms() if canceled else None,
        )
        (finished,) = await self.store.finish(self.session, [outcome])
        assert finished != "lost"

    async def complete(self, body: bytes = b"done", **how: Any) -> str:
        """Claim the next task and finish it; its uuid."""
        claim = await self.claim()
        await self.finish(claim, body, **how)
        return claim.uuid


@contextlib.asynccontextmanager
async def api_over(
    store: Store,
    clock: HeardClock,
    settings: ApiSettings | None = None,
    service_settings: ServiceSettings | None = None,
) -> AsyncIterator[Api]:
    """The API over a store that is not opened yet; it is closed at the end."""
    await store.open()
    chance = Chance(clock, seed=1)
    service = TaskService(store, clock=clock, chance=chance, settings=service_settings or ServiceSettings())
    try:
        yield Api(make_app(service, settings), service, store, clock)
    finally:
        await service.close()
        await store.close()


@contextlib.asynccontextmanager
async def api_over_sqlite(
    folder: pathlib.Path,
    settings: ApiSettings | None = None,
    *,
    signals: bool = True,
    service_settings: ServiceSettings | None = None,
) -> AsyncIterator[Api]:
    stopped = ManualClock()
    chance = Chance(stopped, seed=2)
    store = SqliteStore(folder / "htq.db", clock=stopped, chance=chance, signals=signals)
    async with api_over(store, HeardClock(stopped), settings, service_settings) as api:
        yield api
