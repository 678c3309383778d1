"""Arguments that several commands have, and what is made of them."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from htq.policy.durations import parse_duration

__all__ = [
    "add_filters",
    "add_request",
    "chosen_filters",
    "duration",
    "label",
    "number_of",
    "request_fields",
]

_TEXTS: Final = (
    ("queue", "<name>", "The queue that it goes into [default: default]."),
    ("key", "<lane>", "The lane inside the queue [default: the target's origin]."),
    ("group", "<name>", "The group that it is counted, awaited and canceled with."),
    (
        "on-conflict",
        "<word>",
        "Where a live request has its --id: cancel_previous, return_existing, reject or queue_after.",
    ),
    ("callback", "<url>", "Where to say that it has ended."),
)
"""Fields that are text, by the names of their flags."""

_TIMES: Final = (
    ("debounce", "<duration>", "Wait for so much quiet: a newer request with its --id takes its place and waits anew."),
    ("delay", "<duration>", "Send it after so long."),
    ("run-at", "<time>", "Send it at this time: epoch milliseconds, or as in 2030-01-31T12:00:00Z."),
    ("start-by", "<time>", "Don't begin after this time, or so long from now (10m): it ends in timeout then."),
    ("deadline", "<time>", "Cancel it if it has not ended by this time, or so long from now (1h)."),
)
"""Fields that are times or durations, which the server reads."""


def add_request(parser: argparse.ArgumentParser, *, url_needed: bool = True) -> None:
    """What says which request is to be made."""
    add = parser.add_argument
    add("url", metavar="<url>", nargs=None if url_needed else "?", help="Where the request goes.")
    add("-X", "--request", metavar="<method>", dest="method", help="HTTP method [default: get, or post with -d].")
    add(
        *("-H", "--header"),
        metavar="<header>",
        action="append",
        default=[],
        type=_header,
        help="'Name: value'; repeatable.",
    )
    add("-d", "--data", metavar="<data>", type=_data, help="The body; @<file> reads it from a file, @- from the input.")
    add("--id", metavar="<name>", help="A name of your choice: a newer request with the same one cancels this one.")
    add("--timeout", metavar="<duration>", type=duration, help="Bounds the whole exchange [default: the server's].")
    for name, metavar, said in _TEXTS:
        add(f"--{name}", metavar=metavar, help=said)
    for name, metavar, said in _TIMES:
        add(f"--{name}", metavar=metavar, type=_number_or_text, help=said)
    add("--priority", metavar="<0-9>", type=int, help="9 goes first [default: 5].")
    add("--retry", metavar="<n>", type=int, help="Try again so often where it fails [default: never].")
    add(
        "--label",
        metavar="<name>=<value>",
        action="append",
        default=[],
        type=label,
        help="A label to find it by; repeatable.",
    )
    add(
        *("-o", "--option"),
        metavar="<name>=<value>",
        action="append",
        default=[],
        type=_option,
        help="Any other field of a request, such as redirects=2 or delivery=at_most_once; repeatable.",
    )


def request_fields(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of the request, without those that were not said. Raises `ValueError` for one that was said twice."""
    headers: dict[str, str] = {}
    for name, value in given.header:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    fields = {name: getattr(given, name) for name in ("url", "method", "data", "id", "timeout", "priority", "retry")}
    fields |= {"headers": headers or None, "labels": dict(given.label) or None}
    for flag, _, _ in (*_TEXTS, *_TIMES):
        name = flag.replace("-", "_")
        fields[name] = getattr(given, name)
    fields = {name: value for name, value in fields.items() if value is not None}
    options = dict(given.option)
    clash = sorted({"url", "headers", "idempotency_key", *fields} & options.keys())
    if clash:
        raise ValueError(f"{clash[0]} has an argument of its own: don't give it with -o as well")
    return {**fields, **options}


def add_filters(parser: argparse.ArgumentParser, usual: str) -> None:
    """What says which requests are meant; `usual`: those that are where no status is named."""
    add = parser.add_argument
    add("--queue", metavar="<name>", help="Those in this queue.")
    add(
        "--status",
        metavar="<word>",
        action="append",
        help=f"Those with this status; repeatable [default: {usual}].",
    )
    add(
        "--label",
        metavar="<name>=<value>",
        action="append",
        default=[],
        type=label,
        help="Those with this label; repeatable.",
    )
    add("--key", metavar="<lane>", help="Those in this lane.")
    add("--host", metavar="<name>", help="Those for this host.")
    add("--id", metavar="<name>", help="Those with this name of yours.")
    add("--group", metavar="<name>", help="Those in this group.")
    add(
        "--since", metavar="<ms>", type=int, help="Those that were queued at or after this time, in epoch milliseconds."
    )
    add("--until", metavar="<ms>", type=int, help="Those that were queued before this time, in epoch milliseconds.")


def chosen_filters(given: argparse.Namespace) -> dict[str, Any]:
    """The filters that were said, and `labels`."""
    filters = {
        name: getattr(given, name) for name in ("queue", "status", "key", "host", "id", "group", "since", "until")
    }
    filters["labels"] = dict(given.label) or None
    return {name: value for name, value in filters.items() if value is not None}


def label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no label: write <name>=<value>")
    return name, value


def duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def number_of(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000000")


def _number_or_text(text: str) -> int | str:
    """What is all digits is a number, as it would be in JSON: seconds, or epoch milliseconds."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


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
