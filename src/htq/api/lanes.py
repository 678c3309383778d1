"""Handlers of lanes: how each stands, what holds for it alone, and whether it is held."""

from typing import Final

import msgspec

from htq.api.decoding import read_wish
from htq.api.filters import page_size
from htq.api.http import EMPTY, Call, Reply, json_reply
from htq.api.links import lane_url, page_links, queue_url
from htq.api.query import flag, once
from htq.api.queue_views import view_lane
from htq.stores.base import Lane
from htq.usecases import LaneWish

__all__ = ["delete_lane", "get_lane", "list_lanes", "put_lane"]

_wish: Final = msgspec.json.Decoder(LaneWish)


async def list_lanes(call: Call) -> Reply:
    held = flag(call.query, "held")
    page = await call.service.queues.lanes(call.name, held, once(call.query, "cursor"), page_size(call.query))
    parameters = [(name, value) for name, values in call.query.items() for value in values]
    views = [view_lane(lane, lane_url(call.base, lane.queue, lane.key)) for lane in page.lanes]
    return json_reply(200, views, [page_links(f"{queue_url(call.base, call.name)}keys/", parameters, page.cursor)])


async def get_lane(call: Call) -> Reply:
    return _shown(call, await call.service.queues.lane(call.name, call.key))


async def put_lane(call: Call) -> Reply:
    wish = await read_wish(call, _wish)
    return _shown(call, await call.service.queues.put_lane(call.name, call.key, wish))


async def delete_lane(call: Call) -> Reply:
    await call.service.queues.reset_lane(call.name, call.key)
    return EMPTY


def _shown(call: Call, lane: Lane) -> Reply:
    return json_reply(200, view_lane(lane, lane_url(call.base, lane.queue, lane.key)))
