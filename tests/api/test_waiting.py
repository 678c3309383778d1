"""Preferences, waits, and what is seen of a cancel."""

import asyncio
import pathlib
from collections.abc import Sequence

import pytest

from htq.stores.base import Filter, StopSettled
from htq.usecases import ServiceSettings, Submission
from htq.words.states import State
from support.api import Api, api_over_sqlite

TASK = {"url": "http://127.0.0.1:9/"}
SUBMISSION = Submission(url="http://127.0.0.1:9/")


async def test_a_post_that_waits_gets_the_response_itself(api: Api) -> None:
    asked = asyncio.create_task(api.post(TASK, {"Prefer": "wait=5"}))
    await api.clock.pass_when_slept_on(0)
    uuid = await api.complete(b"quick")
    answer = await asked
    base = f"http://localhost:5000/{uuid}/"
    assert (answer.status, answer.json["data"]) == (200, "quick")
    assert answer.headers["location"] == base
    assert answer.headers["content-location"] == f"{base}response/"
    assert answer.headers["preference-applied"] == "wait=5"


async def test_a_post_that_waited_in_vain_gets_the_303(api: Api) -> None:
    asked = asyncio.create_task(api.post(TASK, {"Prefer": "wait=3"}))
    await api.clock.pass_when_slept_on(4)
    answer = await asked
    assert (answer.status, answer.json["status"]) == (303, "queued")


async def test_respond_async_is_a_202_in_place_of_303(api: Api) -> None:
    answer = await api.post(TASK, {"Prefer": "respond-async"})
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
    assert answer.headers["location"].endswith(f"/{answer.json['uuid']}/")
    asked = asyncio.create_task(api.post(TASK, {"Prefer": 'Respond-Async; x=y, wait="2"'}))
    await api.clock.pass_when_slept_on(3)
    answer = await asked
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async, wait=2")


async def test_a_wait_is_clamped_to_a_minute(api: Api) -> None:
    asked = asyncio.create_task(api.post(TASK, {"Prefer": "wait=" + "9" * 5000}))
    await api.clock.pass_when_slept_on(61)
    assert (await asked).headers["preference-applied"] == "wait=60"


async def test_wait_0_does_not_block(api: Api) -> None:
    uuid = await api.queue()
    answer = await api.ask("GET", f"/{uuid}/response/?wait=0")
    assert (answer.status, answer.json) == (202, {"status": "queued"})
    assert int(answer.headers["retry-after"]) >= 1
    answer = await api.ask("GET", f"/{uuid}/response/", headers={"Prefer": "wait=0"})
    assert (answer.status, answer.headers["preference-applied"]) == (202, "wait=0")


async def test_a_bounded_wait_for_the_response_ends_in_202(api: Api) -> None:
    uuid = await api.queue()
    await api.claim()
    asked = asyncio.create_task(api.ask("GET", f"/{uuid}/response/?wait=7"))
    await api.clock.pass_when_slept_on(8)
    answer = await asked
    assert (answer.status, answer.json) == (202, {"status": "pending"})


async def test_without_signals_a_waiter_hears_of_it_within_a_poll(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, signals=False) as api:
        uuid = await api.queue()
        asked = asyncio.create_task(api.ask("GET", f"/{uuid}/response/"))
        await api.clock.pass_when_slept_on(0)
        await api.complete(b"unheard")
        assert not asked.done()
        api.clock.advance(2)
        assert (await asked).json["data"] == "unheard"


async def test_a_caller_who_hangs_up_is_waited_for_no_longer(api: Api) -> None:
    uuid = await api.queue()
    gone = asyncio.Event()
    asked = asyncio.create_task(api.ask("GET", f"/{uuid}/response/", gone=gone))
    await api.clock.pass_when_slept_on(0)
    gone.set()
    assert (await asked).status == 0
    assert len(api.service._waiting) == 0


async def test_more_waiters_than_the_bound_are_told_to_come_back(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(max_waiters=1)) as api:
        uuid = await api.queue()
        first = asyncio.create_task(api.ask("GET", f"/{uuid}/response/"))
        await api.clock.pass_when_slept_on(0)
        answer = await api.ask("GET", f"/{uuid}/response/")
        assert (answer.status, answer.slug) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        await api.complete()
        assert (await first).status == 200


async def test_many_who_wait_for_one_are_all_told(api: Api) -> None:
    uuid = await api.queue()
    asked = [asyncio.create_task(api.ask("GET", f"/{uuid}/response/")) for _ in range(50)]
    await api.clock.pass_when_slept_on(0)
    await api.complete()
    assert {(await one).status for one in asked} == {200}


async def test_a_cancel_that_waits_gets_the_settled_record(api: Api) -> None:
    uuid = await api.queue()
    claim = await api.claim()
    asked = asyncio.create_task(api.ask("DELETE", f"/{uuid}/?reason=changed%20my%20mind", headers={"Prefer": "wait=9"}))
    await api.clock.pass_when_slept_on(0)
    record = (await api.ask("GET", f"/{uuid}/cancel/")).json
    assert (record["reason"], record["delete"]["state"]) == ("changed my mind", "owed")
    await api.finish(claim, phase="sent", canceled=True)
    settled = StopSettled(uuid, claim.attempt, "confirmed", 204, 1, 3.5, "header")
    assert await api.store.settle_stops(api.session, [settled]) == [True]
    answer = await asked
    assert (answer.status, answer.headers["preference-applied"]) == (200, "wait=9")
    assert answer.json["phase"] == "sent"
    assert answer.json["proof"] == "header"
    assert answer.json["delete"] == {"state": "confirmed", "code": 204, "tries": 1, "elapsed_ms": 3.5}


async def test_a_cancel_that_waited_in_vain_is_a_202_with_the_record(api: Api) -> None:
    uuid = await api.queue()
    await api.claim()
    asked = asyncio.create_task(api.ask("DELETE", f"/{uuid}/", headers={"Prefer": "wait=2"}))
    await api.clock.pass_when_slept_on(3)
    answer = await asked
    assert (answer.status, answer.json["delete"]["state"]) == (202, "owed")


async def test_a_cancel_of_what_was_never_sent_is_settled_at_once(api: Api) -> None:
    uuid = await api.queue()
    answer = await api.ask("DELETE", f"/{uuid}/", headers={"Prefer": "wait=2"})
    assert (answer.status, answer.json["phase"], answer.json["delete"]["state"]) == (200, "waiting", "none")


async def test_a_request_that_was_not_canceled_has_no_record(api: Api) -> None:
    assert (await api.ask("GET", f"/{await api.queue()}/cancel/")).slug == "not-found"


async def test_attempts_are_shown_first_to_last(api: Api) -> None:
    uuid = await api.queue()
    assert (await api.ask("GET", f"/{uuid}/attempts/")).json == []
    await api.complete()
    (attempt,) = (await api.ask("GET", f"/{uuid}/attempts/")).json
    assert (attempt["attempt"], attempt["phase"]) == (1, "finished")


async def test_five_thousand_who_wait_cost_one_batched_poll_a_second_and_wake_when_it_is_done(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api_over_sqlite(tmp_path, signals=False) as api:
        uuids = [
            task.uuid for task in await asyncio.gather(*[api.service.submit(SUBMISSION, base="") for _ in range(5000)])
        ]
        asked = [asyncio.create_task(api.ask("GET", f"/{uuid}/response/")) for uuid in uuids]
        await all_wait(api, 5000)
        calls: list[int] = []
        plain = api.store.states
        polled = asyncio.Event()

        async def counted(asked_for: Sequence[str]) -> list[tuple[State, bool] | None]:
            calls.append(len(asked_for))
            try:
                return await plain(asked_for)
            finally:
                if sum(calls) == 5000:
                    polled.set()

        monkeypatch.setattr(api.store, "states", counted)
        for _ in range(2):
            calls.clear()
            polled.clear()
            await api.clock.pass_when_slept_on(1.2)
            async with asyncio.timeout(10):
                await polled.wait()
            assert calls == [api.service.settings.batch] * (5000 // api.service.settings.batch)
        assert not any(task.done() for task in asked)
        assert await api.service.cancel_all(Filter(statuses=("queued",), until=api.clock.now_ms() + 1)) == 5000
        assert {(await task).json == {} for task in asked} == {True}
        assert len(api.service._waiting) == 0


async def all_wait(api: Api, count: int) -> None:
    async with asyncio.timeout(20):
        while len(api.service._waiting) < count:
            await asyncio.to_thread(int)  # a turn of the loop, and of others


async def test_when_the_server_stops_who_waits_gets_what_has_just_come(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, signals=False) as api:
        done, open_ = await api.queue(), await api.queue()
        asked = [asyncio.create_task(api.ask("GET", f"/{uuid}/response/")) for uuid in (done, open_)]
        posted = asyncio.create_task(api.post(TASK, {"Prefer": "wait=30"}))
        await all_wait(api, 3)
        await api.complete(b"just in time")
        api.app.stopping.set()
        assert (await asked[0]).json["data"] == "just in time"
        answer = await asked[1]
        assert (answer.status, answer.slug) == (503, "overloaded")
        answer = await posted
        assert (answer.status, answer.json["status"]) == (303, "queued")
        assert "preference-applied" not in answer.headers


async def test_a_post_that_cannot_wait_is_queued_and_says_so(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(max_waiters=0)) as api:
        answer = await api.post(TASK, {"Prefer": "wait=5, respond-async"})
        assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
        assert (await api.ask("GET", f"/{answer.json['uuid']}/")).status == 200


async def test_a_cancel_that_cannot_wait_is_done_and_says_so(tmp_path: pathlib.Path) -> None:
    async with api_over_sqlite(tmp_path, service_settings=ServiceSettings(max_waiters=0)) as api:
        uuid = await api.queue()
        await api.claim()
        answer = await api.ask("DELETE", f"/{uuid}/", headers={"Prefer": "wait=5"})
        assert (answer.status, answer.body) == (204, b"")
        assert (await api.ask("GET", f"/{uuid}/status/")).json == {"status": "canceled"}


async def test_a_cancel_with_wait_0_says_how_it_stands(api: Api) -> None:
    uuid = await api.queue()
    await api.claim()
    answer = await api.ask("DELETE", f"/{uuid}/", headers={"Prefer": "wait=0"})
    assert (answer.status, answer.json["delete"]["state"]) == (202, "owed")
    assert answer.headers["preference-applied"] == "wait=0"


async def test_a_cancel_of_an_unknown_request_does_not_wait(api: Api) -> None:
    answer = await api.ask("DELETE", "/01890000-0000-7000-8000-000000000000/", headers={"Prefer": "wait=9"})
    assert (answer.status, answer.slug) == (404, "not-found")
