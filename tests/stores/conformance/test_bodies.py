"""Bodies: small ones in the record, larger ones beside it in chunks, both ways."""

import pytest

from htq.stores.base import BODY_INLINE, CHUNK, BodyRef, Cancel, Canceled, Done, Released
from htq.words.task import Response
from stores.conformance.lab import Lab, answer

SIZES = (0, 1, BODY_INLINE, BODY_INLINE + 1, CHUNK, CHUNK + 1, 3 * 1024 * 1024)


def _bytes(size: int) -> bytes:
    """Bytes of every value, whose places can be told apart."""
    return bytes(at % 251 for at in range(min(size, 251))) * (size // 251 + 1)


async def _read(lab: Lab, ref: BodyRef, at_once: int = 4) -> bytes:
    read: list[bytes] = []
    while chunks := await lab.store.read_body(ref, len(read), at_once):
        assert len(chunks) <= at_once
        assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
        read += chunks
    return b"".join(read)


@pytest.mark.parametrize("size", SIZES)
async def test_request_body_of_any_size_comes_back_whole(lab: Lab, size: int) -> None:
    """`BODY_INLINE`: Bytes up to which a body lies in the record; above that it lies beside it, in chunks."""
    body = _bytes(size)[:size]
    worker, claim = await lab.pending(body=body)
    task = await lab.get(claim.uuid)
    assert (task.body_size, claim.body_size) == (size, size)
    if size <= BODY_INLINE:
        assert (task.body, claim.body) == (body, body)
    else:
        assert (task.body, claim.body) == (None, None)
        assert await _read(lab, BodyRef(claim.uuid, 0, "request")) == body
    assert await worker.succeed(claim) == "applied"


@pytest.mark.parametrize("size", [size for size in SIZES if size <= CHUNK])
async def test_response_body_that_travels_along_comes_back_whole(lab: Lab, size: int) -> None:
    """`Done`: A smaller one travels along, and the store lays it beside the record if it is above `BODY_INLINE`."""
    body = _bytes(size)[:size]
    worker, claim = await lab.pending()
    assert await worker.succeed(claim, body) == "applied"
    (response,) = await lab.store.responses([claim.uuid])
    assert response is not None
    assert response.body_size == size
    if size <= BODY_INLINE:
        assert response.body == body
    else:
        assert response.body is None
        assert await _read(lab, BodyRef(claim.uuid, 1, "response")) == body


async def test_large_response_is_appended_before_the_finish(lab: Lab) -> None:
    """`Done`: A body above `CHUNK` was appended before, and `response.body` is None then."""
    worker, claim = await lab.pending()
    ref = BodyRef(claim.uuid, 1, "response")
    body = _bytes(3 * 1024 * 1024)[: 3 * 1024 * 1024]
    chunks = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    for index in range(0, len(chunks), 5):
        assert await lab.store.append_body(ref, index, chunks[index : index + 5])
    response = Response(time=lab.now, code=200, body=None, body_size=len(body))
    assert await worker.finish(claim, Done("success", response)) == "applied"
    assert await lab.store.responses([claim.uuid]) == [response]
    assert await _read(lab, ref) == body
    assert await lab.store.read_body(ref, 2, 1) == [chunks[2]]
    assert await lab.store.read_body(ref, len(chunks), 4) == []


async def test_appended_chunks_may_be_repeated(lab: Lab) -> None:
    """Every verb may be repeated when its outcome is unknown: the same chunk numbers hold the same bytes."""
    worker, claim = await lab.pending()
    ref = BodyRef(claim.uuid, 1, "response")
    for _ in range(2):
        assert await lab.store.append_body(ref, 0, [b"a" * 5000, b"b"])
    assert await lab.store.append_body(ref, 2, [b"c"])
    await worker.finish(claim, Done("success", Response(time=lab.now, code=200, body=None, body_size=5002)))
    assert await _read(lab, ref) == b"a" * 5000 + b"bc"


async def test_append_is_fenced(lab: Lab) -> None:
    """`append_body`: False, and nothing is written, if the task is not pending at that attempt any more."""
    _, claim = await lab.pending()
    old = BodyRef(claim.uuid, 1, "response")
    assert await lab.store.append_body(old, 0, [b"of the first attempt"])
    await lab.die()
    assert not await lab.store.append_body(old, 1, [b"late"])
    heir = await lab.worker()
    again = await heir.claim_one()
    assert not await lab.store.append_body(old, 1, [b"late"])
    assert not await lab.store.append_body(BodyRef(claim.uuid, 3, "response"), 0, [b"early"])
    new = BodyRef(claim.uuid, 2, "response")
    assert await lab.store.append_body(new, 0, [b"of the second"])
    await heir.finish(again, Done("success", Response(time=lab.now, code=200, body=None, body_size=13)))
    assert not await lab.store.append_body(new, 1, [b"late"])
    assert await _read(lab, new) == b"of the second"
    assert not await lab.store.append_body(BodyRef("nonsense", 1, "response"), 0, [b"x"])


async def test_chunks_of_an_attempt_that_failed_are_not_in_the_response(lab: Lab) -> None:
    """A body belongs to its attempt: what an earlier one had received is never mixed in."""
    worker, first = await lab.pending()
    assert await lab.store.append_body(BodyRef(first.uuid, 1, "response"), 0, [b"half of it"])
    await worker.finish(first, Released(), phase="receiving")
    second = await worker.claim_one()
    await worker.succeed(second, b"whole" * 1000)
    assert await _read(lab, BodyRef(first.uuid, 2, "response")) == b"whole" * 1000


async def test_body_of_a_canceled_attempt_is_not_kept(lab: Lab) -> None:
    """`Outcome`: the task goes to `canceled`, … and its response is not kept."""
    worker, claim = await lab.pending()
    ref = BodyRef(claim.uuid, 1, "response")
    assert await lab.store.append_body(ref, 0, [b"x" * 9000])
    await lab.store.cancel([Cancel(claim.uuid)])
    await worker.finish(claim, Canceled(), phase="receiving")
    assert await lab.store.read_body(ref, 0, 10) == []


async def test_request_body_outlives_attempts_and_responses(lab: Lab) -> None:
    """The request's body is the task's: a crash, a response and its deletion leave it."""
    body = _bytes(9000)[:9000]
    ref = BodyRef(await lab.enqueue(body=body), 0, "request")
    await (await lab.worker()).claim_one()
    await lab.die()
    worker = await lab.worker()
    await worker.succeed(await worker.claim_one(), b"y" * 9000)
    await lab.store.delete_response([ref.uuid])
    assert await _read(lab, ref) == body


async def test_there_is_no_body_where_there_is_none(lab: Lab) -> None:
    """`read_body`: Empty at the end, and where there is no such body."""
    uuid = await lab.final(body=b"x" * 9000)
    refs = [
        BodyRef("nonsense", 0, "request"),
        BodyRef(lab.chance.uuid(), 0, "request"),
        BodyRef(uuid, 2, "response"),
    ]
    assert [await lab.store.read_body(ref, 0, 10) for ref in refs] == [[], [], []]
    assert await lab.store.read_body(BodyRef(uuid, 0, "request"), 99, 10) == []


async def test_mixed_sizes_travel_in_one_batch(lab: Lab) -> None:
    """Verbs take batches: bodies in the record and beside it come together."""
    bodies = [_bytes(size)[:size] for size in (0, 10_000, 3, BODY_INLINE, BODY_INLINE + 1)]
    tasks = [lab.task(body=body) for body in bodies]
    await lab.store.enqueue(tasks)
    worker = await lab.worker()
    claims = {claim.uuid: claim for claim in await worker.claim()}
    assert [claims[task.uuid].body_size for task in tasks] == [len(body) for body in bodies]
    for body, task in zip(bodies, tasks, strict=True):
        await worker.finish(claims[task.uuid], Done("success", answer(lab.now, body)))
    responses = await lab.store.responses([task.uuid for task in tasks])
    assert [response and response.body_size for response in responses] == [len(body) for body in bodies]
