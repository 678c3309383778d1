"""The commands that ask a running server: `htq send`, `get`, `status`, `response`, `wait`, `cancel`, `purge`, `list`."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from htq.cli import exits, printing
from htq.cli.flags import Parser
from htq.client import Client, HtqClientError, NotFound, NotYet, Unavailable
from htq.policy.durations import parse_duration

__all__ = ["CLIENT_COMMANDS", "ask", "client_parser"]

_ENDED: Final = {"success": exits.OK, "error": exits.FAILED, "timeout": exits.FAILED, "canceled": exits.CANCELED}

_PURPOSE: Final = {
    "send": "Queue a request, and print its uuid; with --wait, wait for the response and print that.",
    "get": "Show a request.",
    "status": "Print where a request stands: queued, pending, success, timeout, error or canceled.",
    "response": "Print a request's response if it is there.",
    "wait": "Wait for a request's response, and print it.",
    "cancel": "Cancel a request, whatever it is doing; or all that the filters take of those that are there now.",
    "purge": "Delete a request's response.",
    "list": "Show what is queued.",
}

CLIENT_COMMANDS: Final = tuple(_PURPOSE)

_EPILOG: Final = (
    "Exit codes: 0 done, 1 failed (the request too, for wait), 2 usage, 3 not found, 4 canceled, 5 not yet, "
    "69 no answer from the server. The server is at --server, else $HTQ_URL, else http://localhost:5000."
)


def ask(command: str, arguments: list[str]) -> int:
    """Run one of the commands; the exit code."""
    parser = client_parser(command)
    given = parser.parse_args(arguments)
    try:
        with Client(given.server) as client:
            return _COMMANDS[command](client, given)
    except NotFound as error:
        return _fail(parser, error, exits.NOT_FOUND)
    except NotYet as error:
        return _fail(parser, error, exits.NOT_YET)
    except Unavailable as error:
        return _fail(parser, error, exits.UNAVAILABLE)
    except HtqClientError as error:
        return _fail(parser, error, exits.FAILED)
    except ValueError as error:
        return _fail(parser, error, exits.USAGE)


def _fail(parser: Parser, error: Exception, code: int) -> int:
    sys.stderr.write(f"{parser.prog}: {error}\n")
    return code


# --- arguments ------------------------------------------------------------------------------------


def client_parser(command: str) -> Parser:
    """What `command` takes."""
    parser = Parser(prog=f"htq {command}", description=_PURPOSE[command], epilog=_EPILOG)
    if command == "send":
        _add_request(parser)
    elif command == "cancel":
        _add_cancel(parser)
    elif command != "list":
        parser.add_argument("uuid", metavar="<uuid>", help="The request.")
    if command == "wait":
        parser.add_argument("--timeout", metavar="<duration>", type=_duration, help="Wait no longer than this.")
    parser.add_argument("--server", metavar="<url>", help="Address of the server.")
    parser.add_argument("--json", action="store_true", help="Print JSON, as the server gave it.")
    return parser


def _add_request(parser: Parser) -> None:
    add = parser.add_argument
    add("url", metavar="<url>", help="Where the request goes.")
    add("-X", "--request", metavar="<method>", dest="method", help="HTTP method [default: get, or post with -d].")
    add(
        "-H",
        "--header",
        metavar="<header>",
        action="append",
        default=[],
        type=_header,
        help="'Name: value'; repeatable.",
    )
    add("-d", "--data", metavar="<data>", type=_data, help="The body; @<file> reads it from a file, @- from the input.")
    add("--id", metavar="<name>", help="A name of your choice: a newer request with the same one cancels this one.")
    add("--timeout", metavar="<duration>", type=_duration, help="Bounds the whole exchange [default: the server's].")
    add(
        *("-o", "--option"),
        metavar="<name>=<value>",
        action="append",
        default=[],
        type=_option,
        help="Any other field of a request, such as queue=slow, delay=90s or redirects=2; repeatable.",
    )
    add(
        "--wait",
        metavar="<duration>",
        nargs="?",
        const=-1.0,
        type=_duration,
        help="Wait for the response, for as long as it takes or as long as is given.",
    )


def _add_cancel(parser: Parser) -> None:
    add = parser.add_argument
    add("uuid", metavar="<uuid>", nargs="?", help="The request; left out where there are filters.")
    add("--queue", metavar="<name>", help="Those in this queue.")
    add(
        "--status",
        metavar="<word>",
        action="append",
        help="Those with this status; repeatable [default: what has not ended].",
    )
    add(
        "--label",
        metavar="<name>=<value>",
        action="append",
        default=[],
        type=_label,
        help="Those with this label; repeatable.",
    )
    add("--key", metavar="<lane>", help="Those in this lane.")
    add("--host", metavar="<name>", help="Those for this host.")
    add("--id", metavar="<name>", help="Those with this name of yours.")
    add("--reason", metavar="<text>", help="Why, in a line that the record keeps; for filters only.")
    add("--dry-run", action="store_true", help="Only count, and change nothing.")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no label: write <name>=<value>")
    return name, value


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header: write 'Name: value'")
    return name.strip(), value.strip()


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no option: write <name>=<value>")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _data(text: str) -> str | bytes:
    """Text where the bytes are UTF-8, since that is how a request shows it; else the bytes."""
    if text.startswith("@"):
        try:
            content = sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text[1:]}: can't be read: {error.strerror}") from None
    else:
        content = os.fsencode(text)  # what was typed, byte for byte
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


# --- commands -------------------------------------------------------------------------------------


def _send(client: Client, given: argparse.Namespace) -> int:
    headers: dict[str, str] = {}
    for name, value in given.header:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    options = dict(given.option)
    fields = {"method": given.method, "data": given.data, "id": given.id, "timeout": given.timeout}
    clash = sorted({"url", "headers", *(name for name, value in fields.items() if value is not None)} & options.keys())
    if clash:
        raise ValueError(f"{clash[0]} has an argument of its own: don't give it with -o as well")
    task = client.send(given.url, headers=headers or None, **{**fields, **options})
    if given.wait is None:
        printing.show_uuid(task, given.json)
        return exits.OK
    uuid = task["uuid"]
    if not given.json:
        sys.stderr.write(f"{uuid}\n")  # so that whoever stops waiting knows what to ask for
    return _ended(client.wait(uuid, None if given.wait < 0 else given.wait), given.json)


def _get(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.request(given.uuid), given.json)
    return exits.OK


def _status(client: Client, given: argparse.Namespace) -> int:
    status = client.status(given.uuid)
    printing.show_json({"status": status}) if given.json else printing.say(status)
    return exits.OK


def _response(client: Client, given: argparse.Namespace) -> int:
    response = client.response(given.uuid)
    if response is None:
        raise NotYet(f"{given.uuid} has not ended")
    return _ended(response, given.json)


def _wait(client: Client, given: argparse.Namespace) -> int:
    return _ended(client.wait(given.uuid, given.timeout), given.json)


def _ended(response: dict[str, Any], as_json: bool) -> int:
    printing.show_response(response, as_json)
    return _ENDED.get(response.get("status", "canceled"), exits.FAILED)


def _cancel(client: Client, given: argparse.Namespace) -> int:
    filters = {name: getattr(given, name) for name in ("queue", "status", "key", "host", "id")}
    chosen = bool(given.label) or any(value is not None for value in filters.values())
    if given.uuid is not None:
        if chosen or given.dry_run or given.reason is not None:
            raise ValueError("give a uuid or filters, not both")
        client.cancel(given.uuid)
        return exits.OK
    if not chosen:
        raise ValueError("give a uuid, or filters such as --queue or --status")
    labels = dict(given.label)
    found = client.cancel_all(dry_run=given.dry_run, reason=given.reason, labels=labels, **filters)
    word = "matching" if given.dry_run else "canceled"
    printing.show_json({word: found}) if given.json else printing.say(f"{found} {word}")
    return exits.OK


def _purge(client: Client, given: argparse.Namespace) -> int:
    client.purge(given.uuid)
    return exits.OK


def _list(client: Client, given: argparse.Namespace) -> int:
    printing.show_list(client.queued(), given.json)
    return exits.OK


_COMMANDS: Final[dict[str, Callable[[Client, argparse.Namespace], int]]] = {
    "send": _send,
    "get": _get,
    "status": _status,
    "response": _response,
    "wait": _wait,
    "cancel": _cancel,
    "purge": _purge,
    "list": _list,
}
