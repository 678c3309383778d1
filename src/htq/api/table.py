"""What a row of the table of routes says. Router, `Allow`, OPTIONS, HEAD and the OpenAPI document are made from it."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from htq.api.http import Call, Reply
from htq.words.errors import HtqError

__all__ = ["Answer", "Handler", "Operation", "Parameter", "Route"]

Handler = Callable[[Call], Awaitable[Reply]]


class Parameter(NamedTuple):
    """A query parameter, or a header. A name that ends in `.` stands for all that begin with it."""

    name: str
    type: Any
    description: str


class Answer(NamedTuple):
    """A reply that is no error. `type` is that of its JSON body; None: it has none."""

    status: int
    type: Any
    description: str
    headers: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One verb of a resource."""

    handler: Handler
    summary: str
    answers: tuple[Answer, ...]
    errors: tuple[type[HtqError], ...] = ()
    """Besides those that any operation may give."""
    takes: Any = None
    """The type of the JSON body."""
    media: tuple[str, ...] = ("application/json",)
    """The types in which it can come, and the answer with it."""
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The query parameters that it knows."""
        return tuple(parameter.name for parameter in self.query)


class Route(NamedTuple):
    """A path with the verbs that it does. HEAD comes with GET, and OPTIONS with everything."""

    path: str
    about: str
    verbs: dict[str, Operation]

    @property
    def allow(self) -> tuple[str, ...]:
        """For the header `Allow`."""
        verbs = list(self.verbs)
        if "GET" in self.verbs:
            verbs.append("HEAD")
        return tuple(sorted([*verbs, "OPTIONS"]))
