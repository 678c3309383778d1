"""`htq schedules`: requests that come again and again."""

import argparse
from datetime import UTC, datetime
from typing import Any, Final

from htq.cli import exits, printing
from htq.cli.arguments import add_request, request_fields
from htq.client import Client

__all__ = ["add_name", "add_put", "delete", "list_schedules", "pause", "put", "resume", "show"]

_WHEN: Final = ("cron", "every", "zone", "overlap", "catch_up")


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="<name>", help="The schedule.")


def add_put(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_request(parser)
    add = parser.add_argument
    add("--cron", metavar="<fields>", help="Minute, hour, day of month, month and day of week, as in '30 4 * * 1-5'.")
    add("--every", metavar="<duration>", help="In place of --cron: how often.")
    add("--zone", metavar="<name>", help="The time zone of --cron, such as Europe/Berlin [default: UTC].")
    add(
        "--overlap",
        metavar="<word>",
        help="While an earlier one has not ended: skip, queue, cancel_previous or allow [default: skip].",
    )
    add("--catch-up", metavar="<word>", help="For times that nobody was there: none, one or all [default: one].")
    add("--paused", action="store_true", help="Make nothing until it is resumed.")


def list_schedules(client: Client, given: argparse.Namespace) -> int:
    found = client.schedules.all()
    rows = [
        (
            each["name"],
            str(each.get("cron") or f"every {each.get('every')} s"),
            "paused" if each["paused"] else _shown(each["next"]),
            str(each["task"]["method"]).upper(),
            str(each["task"]["url"]),
        )
        for each in found
    ]
    printing.show_table(("NAME", "WHEN", "NEXT", "METHOD", "URL"), rows, found, given.json, "there are no schedules")
    return exits.OK


def show(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.schedules.get(given.name), given.json)
    return exits.OK


def put(client: Client, given: argparse.Namespace) -> int:
    when: dict[str, Any] = {name: getattr(given, name) for name in _WHEN}
    made = client.schedules.put(given.name, request_fields(given), **when, paused=given.paused or None)
    printing.show_request(made, given.json)
    return exits.OK


def pause(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.schedules.pause(given.name), given.json)
    return exits.OK


def resume(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.schedules.resume(given.name), given.json)
    return exits.OK


def delete(client: Client, given: argparse.Namespace) -> int:
    client.schedules.delete(given.name)
    return exits.OK


def _shown(slots: list[int]) -> str:
    if not slots:
        return "never"
    return datetime.fromtimestamp(slots[0] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
