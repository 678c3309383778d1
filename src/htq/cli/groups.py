"""`htq groups`: requests that are counted, awaited and canceled together."""

import argparse

from htq.cli import exits, printing
from htq.cli.arguments import duration
from htq.client import Client

__all__ = ["add_cancel", "add_name", "add_wait", "cancel", "choose", "close", "show", "wait"]


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="<name>", help="The group.")


def add_wait(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument("--timeout", metavar="<duration>", type=duration, help="Wait no longer than this.")


def add_cancel(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument("--reason", metavar="<text>", help="Why, in a line that the record keeps.")
    parser.add_argument("--dry-run", action="store_true", help="Only count, and change nothing.")


def choose(client: Client, given: argparse.Namespace) -> int:
    """There is no list of all groups. Raises `ValueError`, which says what there is."""
    raise ValueError("say what is to be done, and with which group: show, wait, close or cancel, and its name")


def show(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.groups.get(given.name), given.json)
    return exits.OK


def wait(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.groups.wait(given.name, given.timeout), given.json)
    return exits.OK


def close(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.groups.close(given.name), given.json)
    return exits.OK


def cancel(client: Client, given: argparse.Namespace) -> int:
    found = client.groups.cancel(given.name, reason=given.reason, dry_run=given.dry_run)
    printing.show_count("matching" if given.dry_run else "canceled", found, given.json)
    return exits.OK
