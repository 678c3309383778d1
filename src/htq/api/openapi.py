"""The OpenAPI 3.1 document, from the table of routes and the types that validate."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Any, Final, get_args

import msgspec

from htq import __version__
from htq.api.http import Call, Reply, json_reply
from htq.api.problems import INTERNAL, PROBLEMS, Problem, ProblemType
from htq.api.refusals import ForeignHost, ForeignOrigin, HeadersTooLarge, TooSlow
from htq.api.table import Answer, Operation, Parameter, Route
from htq.words.errors import HtqError, Malformed

__all__ = ["describe", "openapi_route"]

_ANY_OPERATION: Final = (Malformed, ForeignOrigin, ForeignHost, TooSlow, HeadersTooLarge)
_PROBLEM_REF: Final = "#/components/responses/"
_HEADERS: Final = {
    "Location": "Where the request is.",
    "Content-Location": "Where the response is.",
    "Link": "Related resources (RFC 8288).",
    "ETag": "The version of the request.",
    "Retry-After": "Seconds to wait before asking again.",
    "Preference-Applied": "Which preferences held (RFC 7240).",
    "Idempotent-Replayed": "true: its key came before, and this is what was made then.",
    "Allow": "The methods that the resource does.",
}


def openapi_route(routes: Sequence[Route]) -> Route:
    """The route at which a description of `routes` and of itself can be had. It is made when it is first asked for."""
    made: list[Reply] = []

    async def get_openapi(call: Call) -> Reply:
        if not made:
            made.append(json_reply(200, describe((*routes, route))))
        return made[0]

    answer = Answer(200, dict[str, Any], "The document.")
    route = Route(
        "/openapi.json", "This document", {"GET": Operation(get_openapi, "The API in OpenAPI 3.1", (answer,))}
    )
    return route


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """The document as a tree that JSON can hold."""
    types = list(_types(routes))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    # Types are compared by identity: a parameterized one is equal to another of the same shape only by chance.
    schema_of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    kinds = (*PROBLEMS.values(), INTERNAL)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "htq",
            "version": __version__,
            "description": "An HTTP task queue: requests are sent in the background, waited for, watched, and canceled.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": {
            route.path: {
                "summary": route.about,
                **_path_parameters(route),
                **{
                    verb.lower(): _operation(operation, f"{verb.lower()}{_identifier(route)}", schema_of)
                    for verb, operation in _all_verbs(route)
                },
            }
            for route in routes
        },
        "components": {"schemas": components, "responses": {kind.slug: _problem(kind, schema_of) for kind in kinds}},
    }


def _types(routes: Sequence[Route]) -> Iterator[Any]:
    yield Problem
    for route in routes:
        for operation in route.verbs.values():
            if operation.takes is not None:
                yield operation.takes
            for parameter in (*operation.query, *operation.headers):
                yield parameter.type
            for answer in operation.answers:
                yield from _members(answer.type)


def _members(kind: Any) -> tuple[Any, ...]:
    """A union's types, since a union of structs can be written and not read."""
    if kind is None:
        return ()
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _all_verbs(route: Route) -> Iterator[tuple[str, Operation]]:
    """With HEAD and OPTIONS, which no row spells out."""
    for verb, operation in route.verbs.items():
        yield verb, operation
        if verb == "GET":
            answers = tuple(answer._replace(type=None) for answer in operation.answers)
            yield "HEAD", operation._replace(summary=f"{operation.summary}: the headers alone", answers=answers)
    any_operation = next(iter(route.verbs.values()))
    allowed = Answer(204, None, "The header Allow lists the methods.", ("Allow",))
    yield "OPTIONS", Operation(any_operation.handler, "See which methods there are", (allowed,))


def _path_parameters(route: Route) -> dict[str, Any]:
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
            for name in re.findall(r"\{([a-z]+)\}", route.path)
        ]
    }


def _path_schema(name: str) -> dict[str, str]:
    return {"type": "string", "format": "uuid"} if name == "uuid" else {"type": "string"}


def _identifier(route: Route) -> str:
    parts = re.findall(r"[a-z]+", route.path)
    return "".join(f"_{part}" for part in parts) or "_root"


def _operation(operation: Operation, identifier: str, schema_of: dict[int, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"operationId": identifier, "summary": operation.summary}
    parameters = [
        *(_parameter(parameter, "query", schema_of) for parameter in operation.query),
        *(_parameter(parameter, "header", schema_of) for parameter in operation.headers),
    ]
    if parameters:
        shown["parameters"] = parameters
    if operation.takes is not None:
        content = {media: {"schema": schema_of[id(operation.takes)]} for media in operation.media}
        shown["requestBody"] = {"required": True, "content": content}
    responses = {str(answer.status): _answer(answer, schema_of) for answer in operation.answers}
    for status, slugs in _errors(operation.errors).items():
        responses[status] = {"$ref": _PROBLEM_REF + slugs[0]} if len(slugs) == 1 else _several(slugs, schema_of)
    responses["500"] = {"$ref": _PROBLEM_REF + INTERNAL.slug}
    shown["responses"] = responses
    return shown


def _errors(classes: Sequence[type[HtqError]]) -> dict[str, list[str]]:
    """Slugs by status: OpenAPI has one response a status."""
    found: dict[str, list[str]] = {}
    for cls in (*classes, *_ANY_OPERATION):
        kind = PROBLEMS[cls]
        found.setdefault(str(kind.status), []).append(kind.slug)
    return found


def _parameter(parameter: Parameter, where: str, schema_of: dict[int, Any]) -> dict[str, Any]:
    shown = {
        "name": f"{parameter.name}<name>" if parameter.name.endswith(".") else parameter.name,
        "in": where,
        "required": False,
        "description": parameter.description,
        "schema": schema_of[id(parameter.type)],
    }
    if where == "query" and shown["schema"].get("type") == "array":
        shown["explode"] = False
    return shown


def _answer(answer: Answer, schema_of: dict[int, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.description}
    if answer.type is not None:
        schemas = [schema_of[id(kind)] for kind in _members(answer.type)]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        shown["content"] = {"application/json": {"schema": schema}}
    if answer.headers:
        shown["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in answer.headers
        }
    return shown


def _problem(kind: ProblemType, schema_of: dict[int, Any]) -> dict[str, Any]:
    needed = {405: "Allow", 503: "Retry-After"}.get(kind.status)
    shown: dict[str, Any] = {
        "description": f"{kind.title} (type {kind.uri}). {kind.meaning}",
        "content": {"application/problem+json": {"schema": schema_of[id(Problem)]}},
    }
    if needed is not None:
        shown["headers"] = {needed: {"description": _HEADERS[needed], "schema": {"type": "string"}}}
    return shown


def _several(slugs: Sequence[str], schema_of: dict[int, Any]) -> dict[str, Any]:
    titles = {kind.slug: kind for kind in PROBLEMS.values()}
    phrase = HTTPStatus(titles[slugs[0]].status).phrase
    return {
        "description": f"{phrase}: {'; or '.join(f'{titles[slug].title} (type {titles[slug].uri})' for slug in slugs)}.",
        "content": {"application/problem+json": {"schema": schema_of[id(Problem)]}},
    }
