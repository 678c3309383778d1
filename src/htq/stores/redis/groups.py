"""Groups, and the callbacks that they and tasks owe."""

from collections.abc import Sequence
from typing import Final

import msgspec

from htq.stores.base import OwedCallback
from htq.stores.redis.batches import parts
from htq.stores.redis.functions import Functions
from htq.stores.redis.records import group_of, read_facts
from htq.stores.redis.wire import tenants_id
from htq.words.callback import Callback
from htq.words.errors import StoreUnavailable
from htq.words.group import Group

__all__ = ["group", "owed_callbacks", "put_group", "settle_callbacks"]

_encode: Final = msgspec.msgpack.Encoder().encode


async def put_group(functions: Functions, tenant: str, name: str, callback: Callback | None, *, close: bool) -> Group:
    header = (tenants_id(tenant, name), tenant, name, callback is not None, close)
    _, flat = await functions.step("put_group", header, (_encode(callback),))
    made = group_of(flat)
    if made is None:
        raise StoreUnavailable("The Redis server has lost a group that it was just given.")
    return made


async def group(functions: Functions, tenant: str, name: str) -> Group | None:
    return group_of(await functions.read("group", (tenants_id(tenant, name),)))


async def owed_callbacks(functions: Functions, limit: int) -> list[OwedCallback]:
    owed: list[OwedCallback] = []
    for kind, at, whose, subject, number in await functions.read("owed_callbacks", (limit,)):
        if kind == b"task":
            facts = read_facts(subject.decode(), whose)
            if facts is not None:
                owed.append(OwedCallback("task", facts.tenant, subject.decode(), int(number), int(at)))
        elif subject is not None:
            owed.append(OwedCallback("group", whose.decode(), subject.decode(), int(number), int(at)))
    return owed


async def settle_callbacks(functions: Functions, owed: Sequence[OwedCallback]) -> None:
    for part in parts(owed):
        header = [
            (tenants_id(one.tenant, one.subject), False, 0, one.at)
            if one.kind == "group"
            else (False, one.subject, one.number, one.at)
            for one in part
        ]
        await functions.step("settle_callbacks", header)
