"""The commands about requests: what they take, and what they do."""

import argparse
import sys
from typing import Any, Final

from htq.cli import exits, printing
from htq.cli.arguments import add_filters, add_request, chosen_filters, duration, number_of, request_fields
from htq.client import Client, NotYet

__all__ = [
    "add_cancel",
    "add_list",
    "add_retry",
    "add_send",
    "add_uuid",
    "add_wait",
    "cancel",
    "get",
    "list_requests",
    "purge",
    "response",
    "retry",
    "send",
    "status",
    "wait",
]

_ENDED: Final = {"success": exits.OK, "error": exits.FAILED, "timeout": exits.FAILED, "canceled": exits.CANCELED}


# --- arguments ------------------------------------------------------------------------------------


def add_uuid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uuid", metavar="<uuid>", help="The request.")


def add_wait(parser: argparse.ArgumentParser) -> None:
    add_uuid(parser)
    parser.add_argument("--timeout", metavar="<duration>", type=duration, help="Wait no longer than this.")


def add_send(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    add = parser.add_argument
    add(
        "--idempotency-key",
        metavar="<key>",
        help="Asked for again with the same key, the same request is queued once.",
    )
    add(
        "--wait",
        metavar="<duration>",
        nargs="?",
        const=-1.0,
        type=duration,
        help="Wait for the response, for as long as it takes or as long as is given.",
    )


def add_cancel(parser: argparse.ArgumentParser) -> None:
    _add_uuid_or_filters(parser, "what has not ended")
    parser.add_argument("--reason", metavar="<text>", help="Why, in a line that the record keeps; for filters only.")


def add_retry(parser: argparse.ArgumentParser) -> None:
    _add_uuid_or_filters(parser, "error and timeout")


def _add_uuid_or_filters(parser: argparse.ArgumentParser, usual: str) -> None:
    parser.add_argument("uuid", metavar="<uuid>", nargs="?", help="The request; left out where there are filters.")
    add_filters(parser, usual)
    parser.add_argument("--dry-run", action="store_true", help="Only count, and change nothing.")


def add_list(parser: argparse.ArgumentParser) -> None:
    add_filters(parser, "queued, and due")
    parser.add_argument("--limit", metavar="<n>", type=number_of, help="So many at most, the oldest [default: all].")


# --- what is done ---------------------------------------------------------------------------------


def send(client: Client, given: argparse.Namespace) -> int:
    fields = request_fields(given)
    task = client.send(fields.pop("url"), idempotency_key=given.idempotency_key, **fields)
    if given.wait is None:
        printing.show_uuid(task, given.json)
        return exits.OK
    if not given.json:
        sys.stderr.write(f"{task.uuid}\n")  # so that whoever stops waiting knows what to ask for
    return _ended(client.wait(task.uuid, None if given.wait < 0 else given.wait), given.json)


def get(client: Client, given: argparse.Namespace) -> int:
    printing.show_request(client.request(given.uuid), given.json)
    return exits.OK


def status(client: Client, given: argparse.Namespace) -> int:
    found = client.status(given.uuid)
    printing.show_json({"status": found}) if given.json else printing.say(found)
    return exits.OK


def response(client: Client, given: argparse.Namespace) -> int:
    found = client.response(given.uuid)
    if found is None:
        raise NotYet(f"{given.uuid} has not ended")
    return _ended(found, given.json)


def wait(client: Client, given: argparse.Namespace) -> int:
    return _ended(client.wait(given.uuid, given.timeout), given.json)


def _ended(found: dict[str, Any], as_json: bool) -> int:
    printing.show_response(found, as_json)
    return _ENDED.get(found.get("status", "canceled"), exits.FAILED)


def cancel(client: Client, given: argparse.Namespace) -> int:
    filters = _filters_in_place_of_a_uuid(given, given.reason)
    if filters is None:
        client.cancel(given.uuid)
        return exits.OK
    found = client.cancel_all(dry_run=given.dry_run, reason=given.reason, **filters)
    printing.show_count("matching" if given.dry_run else "canceled", found, given.json)
    return exits.OK


def retry(client: Client, given: argparse.Namespace) -> int:
    filters = _filters_in_place_of_a_uuid(given)
    if filters is None:
        task = client.retry(given.uuid)
        if given.json:
            printing.show_json(task)
        return exits.OK
    found = client.retry_all(dry_run=given.dry_run, **filters)
    printing.show_count("matching" if given.dry_run else "retried", found, given.json)
    return exits.OK


def _filters_in_place_of_a_uuid(given: argparse.Namespace, reason: str | None = None) -> dict[str, Any] | None:
    """The filters; None where one request is named. Raises `ValueError` for neither and for both."""
    filters = chosen_filters(given)
    if given.uuid is None:
        if not filters:
            raise ValueError("give a uuid, or filters such as --queue or --status")
        return filters
    if filters or given.dry_run or reason is not None:
        raise ValueError("give a uuid or filters, not both")
    return None


def purge(client: Client, given: argparse.Namespace) -> int:
    client.purge(given.uuid)
    return exits.OK


def list_requests(client: Client, given: argparse.Namespace) -> int:
    filters = chosen_filters(given)
    nothing = "nothing matches" if filters else "nothing is queued"
    printing.show_list(client.requests(limit=given.limit, **filters), given.json, nothing)
    return exits.OK
