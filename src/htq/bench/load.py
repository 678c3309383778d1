"""The load generator: a process of its own, that does the jobs that come in as lines and answers each with its figures.

It ends when its standard input is closed.
"""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import uvloop

from htq.bench.fairness import accuracy, fairness
from htq.bench.flow import Unexpected, drive, expect, uuid_of
from htq.bench.jobs import Accuracy, Cancels, Check, Depth, Fairness, Figures, Flood, Job, Paced, Reply
from htq.bench.stats import percentile
from htq.bench.wire import Answer, Connection, ConnectionLost, connected, request_bytes
from htq.words.clock import Clock, SystemClock
from htq.words.errors import HtqError

__all__ = ["Generator", "main"]

_TAIL = 512
"""The tasks of a flood whose responses are waited for one by one: the last ones that were queued, more than are in flight."""

_DELETES_WITHIN = 10.0


def _queue_request(job: Flood | Paced | Cancels, path: str) -> bytes:
    body = msgspec.json.encode(
        {"url": f"http://127.0.0.1:{job.target}{path}", "method": "post", "data": {"bench": True}}
    )
    return request_bytes("POST", "/", f"127.0.0.1:{job.api}", body)


def _task_request(api: int, method: str, uuid: str, rest: str = "") -> bytes:
    return request_bytes(method, f"/{uuid}/{rest}", f"127.0.0.1:{api}")


def _expect_response(answer: Answer, _: float) -> None:
    expect(answer, 200)


def _reached(job: Flood | Cancels) -> bytes:
    return request_bytes("GET", f"/bench/reached/{job.tasks}", f"127.0.0.1:{job.target}")


def _percentiles(seconds: Sequence[float], prefix: str = "") -> Figures:
    return {
        f"{prefix}p50_ms": percentile(seconds, 0.5) * 1000,
        f"{prefix}p99_ms": percentile(seconds, 0.99) * 1000,
    }


class Generator:
    """Does jobs, one after another; remembers the tasks of the last flood."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._uuids: list[str] = []

    async def do(self, job: Job) -> Figures:
        """Raises `Unexpected`, `ConnectionLost`, `OSError`, and for `Depth` what a store raises."""
        match job:
            case Flood():
                return await self._flood(job)
            case Check():
                return await self._check(job)
            case Paced():
                return await self._paced(job)
            case Cancels():
                return await self._cancels(job)
            case Fairness():
                return await fairness(job, self._clock)
            case Accuracy():
                return await accuracy(job, self._clock)
            case Depth():
                from htq.bench import depth  # brings the stores, which a generator of HTTP has no need of

                return await depth.measure(job, self._clock)

    async def _flood(self, job: Flood) -> Figures:
        uuids = self._uuids = []
        latencies: list[float] = []

        def queued(answer: Answer, seconds: float) -> None:
            uuids.append(uuid_of(answer))
            latencies.append(seconds)

        requests = itertools.repeat(_queue_request(job, job.path), job.tasks)
        async with self._control(job.target) as control, connected(job.api, job.connections) as connections:
            begun = self._clock.steady()
            await drive(self._clock, connections, requests, queued)
            figures = {"submit_s": self._clock.steady() - begun, **_percentiles(latencies, "submit_")}
            if job.finish:
                await control.exchange(_reached(job))
                responses = (_task_request(job.api, "GET", uuid, "response/") for uuid in uuids[-_TAIL:])
                await drive(self._clock, connections, responses, _expect_response)
                figures["done_s"] = self._clock.steady() - begun
        return figures

    async def _check(self, job: Check) -> Figures:
        counts: Counter[str] = Counter()

        def count(answer: Answer, _: float) -> None:
            counts[msgspec.json.decode(expect(answer, 200).body)["status"]] += 1

        requests = (_task_request(job.api, "GET", uuid, "status/") for uuid in self._uuids)
        async with connected(job.api, 16) as connections:
            await drive(self._clock, connections, requests, count)
        return {status: float(number) for status, number in counts.items()}

    async def _paced(self, job: Paced) -> Figures:
        request = _queue_request(job, "/")
        latencies: list[float] = []
        late = 0.0

        async def one(connection: Connection) -> None:
            begun = self._clock.steady()
            uuid = uuid_of(await connection.exchange(request))
            expect(await connection.exchange(_task_request(job.api, "GET", uuid, "response/")), 200)
            latencies.append(self._clock.steady() - begun)
            free.append(connection)

        # So many that none has to be opened while the clock runs, even where the system falls behind by seconds.
        async with connected(job.api, min(job.tasks, max(16, int(job.rate * 4)))) as connections:
            free = list(connections)
            begun = self._clock.steady()
            async with asyncio.TaskGroup() as group:
                for number in range(job.tasks):
                    due = begun + number / job.rate
                    await self._clock.sleep(max(0.0, due - self._clock.steady()))
                    if not free:
                        raise Unexpected(f"the system is {len(connections)} tasks behind at {job.rate:g} a second")
                    late = max(late, self._clock.steady() - due)
                    group.create_task(one(free.pop()))
        return {**_percentiles(latencies), "late_ms": late * 1000}

    async def _cancels(self, job: Cancels) -> Figures:
        request = _queue_request(job, "/hold")
        asked: dict[str, float] = {}
        answered: dict[str, float] = {}
        async with self._control(job.target) as control, connected(job.api) as [connection]:
            uuids = [uuid_of(await connection.exchange(request)) for _ in range(job.tasks)]
            await control.exchange(_reached(job))
            for uuid in uuids:
                asked[uuid] = self._clock.steady()
                expect(await connection.exchange(_task_request(job.api, "DELETE", uuid)), 204)
                answered[uuid] = self._clock.steady()
            arrived = await self._deletes(job, control)
        return {
            **_percentiles([arrived[uuid] - answered[uuid] for uuid in uuids]),
            **_percentiles([arrived[uuid] - asked[uuid] for uuid in uuids], "whole_"),
        }

    async def _deletes(self, job: Cancels, control: Connection) -> dict[str, float]:
        request = request_bytes("GET", "/bench/deletes", f"127.0.0.1:{job.target}")
        deadline = self._clock.steady() + _DELETES_WITHIN
        while True:
            arrived = msgspec.json.decode((await control.exchange(request)).body, type=dict[str, float])
            if len(arrived) >= job.tasks:
                return arrived
            if self._clock.steady() > deadline:
                raise Unexpected(f"{len(arrived)} of {job.tasks} DELETEs reached the target in {_DELETES_WITHIN:g} s")
            await self._clock.sleep(0.1)

    @asynccontextmanager
    async def _control(self, target: int) -> AsyncIterator[Connection]:
        """A connection to the target, which has forgotten what it has counted."""
        async with connected(target) as [connection]:
            await connection.exchange(request_bytes("GET", "/bench/reset", f"127.0.0.1:{target}"))
            yield connection


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(Job)
    generator = Generator(SystemClock())
    while line := await reader.readline():
        try:
            reply = Reply(figures=await generator.do(decoder.decode(line)))
        except (Unexpected, ConnectionLost, OSError, HtqError) as error:
            reply = Reply(error=str(error))
        except ExceptionGroup as group:
            reply = Reply(error="; ".join(sorted({str(error) for error in group.exceptions})))
        sys.stdout.write(msgspec.json.encode(reply).decode() + "\n")
        sys.stdout.flush()


def main() -> None:
    """Do jobs until standard input ends."""
    uvloop.run(_main())


if __name__ == "__main__":
    main()
