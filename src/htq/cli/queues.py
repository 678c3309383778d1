"""`htq queues`: look at them, pause one, let it go on, say what holds for it."""

import argparse
import json
from typing import Any

from htq.cli import exits, printing
from htq.client import Client

__all__ = ["add_delete", "add_name", "add_pause", "add_put", "delete", "list_queues", "pause", "put", "resume", "show"]


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="<name>", help="The queue.")


def add_pause(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument(
        "--for", metavar="<duration>", dest="seconds", help="For how long [default: until it is resumed]."
    )
    parser.add_argument(
        "--until", metavar="<time>", help="Until when: epoch milliseconds, or as in 2030-01-31T12:00:00Z."
    )


def add_put(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument(
        "settings",
        metavar="<json>",
        type=_settings,
        help="What holds for it, in place of all before: '{\"concurrency\": 5}'.",
    )


def add_delete(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument(
        "--tasks",
        metavar="cancel|keep",
        choices=("cancel", "keep"),
        help="What becomes of its requests that have not ended [default: refuse].",
    )


def list_queues(client: Client, given: argparse.Namespace) -> int:
    found = client.queues.all()
    rows = [
        (
            each["name"],
            str(each["scheduled"]),
            str(each["queued"]),
            str(each["pending"]),
            "paused" if each.get("paused") else "",
        )
        for each in found
    ]
    printing.show_table(("NAME", "SCHEDULED", "QUEUED", "PENDING", ""), rows, found, given.json, "there are no queues")
    return exits.OK


def show(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.queues.get(given.name), given.json)
    return exits.OK


def pause(client: Client, given: argparse.Namespace) -> int:
    until = given.until
    if until is not None and until.isascii() and until.isdigit():
        until = int(until)
    printing.show_request(client.queues.pause(given.name, until=until, seconds=given.seconds), given.json)
    return exits.OK


def resume(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.queues.resume(given.name), given.json)
    return exits.OK


def put(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.queues.put(given.name, **given.settings), given.json)
    return exits.OK


def delete(client: Client, given: argparse.Namespace) -> int:
    client.queues.delete(given.name, given.tasks)
    return exits.OK


def _settings(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError("this is no JSON object")
    return found
