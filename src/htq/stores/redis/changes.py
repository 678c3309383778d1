"""What is done to waiting and ended tasks by hand: `retry`, `run_now`, `patch`."""

from collections.abc import Sequence

from htq.stores.base import Patch, Patched, Retried
from htq.stores.redis.batches import parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import known_form, read_spec
from htq.stores.redis.wire import amendment
from htq.words.states import State

__all__ = ["patch", "retry", "run_now"]


async def retry(functions: Functions, uuids: Sequence[str]) -> list[Retried | None]:
    answers: list[Retried | None] = []
    for part in parts(uuids):
        told, _ = await functions.step("retry", [known_form(uuid) for uuid in part])
        answers += [answer or None for answer in told]
    return answers


async def run_now(functions: Functions, uuids: Sequence[str]) -> list[State | None]:
    answers: list[State | None] = []
    for part in parts(uuids):
        states, _ = await functions.step("run_now", [known_form(uuid) for uuid in part])
        answers += [state or None for state in states]
    return answers


async def patch(functions: Functions, uuid: str, patch: Patch, version: int) -> Patched | None:
    ((_, packed),) = await functions.read("get", [known_form(uuid)])
    spec = read_spec(uuid, packed)
    if spec is None:
        return None
    # What is kept of the spec was read a moment ago; whoever changes it meanwhile changes the version too.
    amended, blob = amendment(spec, patch)
    answer: Patched | None
    answer, _ = await functions.step("patch", (uuid, version, amended), (blob,))
    return answer or None
