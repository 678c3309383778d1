"""Handlers of what the API says about itself: the kinds of errors."""

import msgspec

from htq.api.http import Call, Reply, json_reply
from htq.api.problems import INTERNAL, PROBLEMS, ProblemType
from htq.words.errors import NotFound

__all__ = ["ProblemView", "get_problem", "list_problems"]


class ProblemView(msgspec.Struct, frozen=True):
    """A kind of error: what the `type` of a problem leads to."""

    type: str
    status: int
    title: str
    meaning: str


async def list_problems(call: Call) -> Reply:
    return json_reply(200, [_view(kind) for kind in (*PROBLEMS.values(), INTERNAL)])


async def get_problem(call: Call) -> Reply:
    for kind in (*PROBLEMS.values(), INTERNAL):
        if kind.slug == call.name:
            return json_reply(200, _view(kind))
    raise NotFound("There is no such type of problem: /problems/ lists them.")


def _view(kind: ProblemType) -> ProblemView:
    return ProblemView(kind.uri, kind.status, kind.title, kind.meaning)
