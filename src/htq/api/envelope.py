"""A response as JSON: the seed's envelope, with the body as text where it is text, else as base64."""

import base64
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from htq.policy.fields import joined
from htq.policy.text import as_text
from htq.usecases import Result
from htq.words.reasons import Reason
from htq.words.states import Status
from htq.words.task import Headers, Response

__all__ = ["Envelope", "Failure", "NoResponse", "envelope"]


class NoResponse(msgspec.Struct, frozen=True):
    """What a canceled request has: the empty object."""


_Error = Annotated[Reason | UnsetType, Meta(description="Why it is no success: a word from a closed list.")]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A response that was received, whatever its code. With a retry policy it can be that of a request that failed."""

    status: Status
    time: Annotated[int, Meta(description="When it was received, in epoch milliseconds.")]
    code: int
    reason: Annotated[str, Meta(description="The phrase of its status line.")]
    error: _Error = UNSET
    message: Annotated[str | UnsetType, Meta(description="Where there is an error: what it was, in a sentence.")] = (
        UNSET
    )
    elapsed: Annotated[float | None, Meta(description="Milliseconds.")]
    uuid: str
    headers: Annotated[dict[str, str], Meta(description="One value a name; duplicates are joined.")]
    data: Annotated[str | None, Meta(description="The body where it is text in its charset, decompressed; else null.")]
    data_base64: Annotated[str | UnsetType, Meta(description="The body as it came, where data can't hold it.")] = UNSET
    header_list: Annotated[Headers, Meta(description="Names and values in their order, with case and duplicates.")]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a request that got no response: a timeout or an error."""

    status: Status
    message: str
    time: int
    uuid: str
    error: _Error = UNSET
    elapsed: float | UnsetType = UNSET


def envelope(result: Result) -> Envelope | Failure | NoResponse:
    """What a caller sees of `result`."""
    response = result.response
    if response is None:
        return NoResponse()
    if response.code is None:
        return _failure(result, response)
    data = as_text(result.body, response.headers)
    return Envelope(
        status=result.status,
        time=response.time,
        code=response.code,
        reason=response.phrase,
        error=_error(result),
        message=UNSET if response.message is None else response.message,
        elapsed=response.elapsed_ms,
        uuid=result.uuid,
        headers=joined(response.headers),
        data=data,
        data_base64=UNSET if data is not None else base64.b64encode(result.body).decode(),
        header_list=response.headers,
    )


def _failure(result: Result, response: Response) -> Failure:
    return Failure(
        status=result.status,
        message=response.message or "No response was received.",
        time=response.time,
        uuid=result.uuid,
        error=_error(result),
        elapsed=UNSET if response.elapsed_ms is None else response.elapsed_ms,
    )


def _error(result: Result) -> Reason | UnsetType:
    return UNSET if result.reason is None else result.reason
