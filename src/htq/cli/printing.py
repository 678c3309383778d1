"""What the asking commands print: for people, or JSON. What came from elsewhere can't move the reader's cursor."""

import base64
import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["say", "show_count", "show_json", "show_list", "show_request", "show_response", "show_table", "show_uuid"]


def say(line: str) -> None:
    """One line, with control characters and broken surrogates made visible."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    sys.stdout.write(f"{shown}\n")


def show_json(value: Any) -> None:
    """JSON in lines. ASCII only, so that it is right whatever the terminal's encoding is."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def show_count(word: str, found: int, as_json: bool) -> None:
    show_json({word: found}) if as_json else say(f"{found} {word}")


def show_uuid(task: dict[str, Any], as_json: bool) -> None:
    show_json(task) if as_json else say(task["uuid"])


def show_request(task: dict[str, Any], as_json: bool) -> None:
    """A request: one field a line."""
    if as_json:
        show_json(task)
        return
    for name, value in task.items():
        if name != "links" and value not in (None, {}, [], ""):
            say(f"{name + ':':<14}{value if isinstance(value, str) else json.dumps(value)}")


def show_response(response: dict[str, Any], as_json: bool) -> None:
    """A response's body, as it came, on standard output; how it ended on standard error where it is no success."""
    if as_json:
        show_json(response)
        return
    if not response:
        sys.stderr.write("canceled\n")
        return
    if response.get("code") is None:
        sys.stderr.write(f"{response.get('status')}: {response.get('message') or 'no response'}\n")
        return
    if response.get("error") is not None:
        sys.stderr.write(f"{response.get('status')}: {response.get('message')}\n")
    if response.get("data_base64") is not None:
        body = base64.b64decode(response["data_base64"])
    else:
        body = (response.get("data") or "").encode()
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    if body and not body.endswith(b"\n") and sys.stdout.isatty():
        sys.stdout.write("\n")


def show_list(tasks: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    """Requests, oldest first: uuid, method and URL of each, and on a terminal where it stands."""
    if not as_json and tasks and not sys.stdout.isatty():
        for task in tasks:
            say(f"{task['uuid']}  {str(task['method']).upper():<7} {task['url']}")
        return
    rows = [
        (task["uuid"], str(task["status"]), str(task.get("queue", "default")), str(task["method"]).upper(), task["url"])
        for task in tasks
    ]
    show_table(("UUID", "STATUS", "QUEUE", "METHOD", "URL"), rows, tasks, as_json, nothing)


def show_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], found: list[dict[str, Any]], as_json: bool, nothing: str
) -> None:
    """Rows in columns, their names above them on a terminal. That there are none is said beside the output."""
    if as_json:
        show_json(found)
        return
    if not rows:
        sys.stderr.write(f"{nothing}\n")
        return
    shown = [names, *rows] if sys.stdout.isatty() else rows
    widths = [max(len(row[column]) for row in shown) for column in range(len(names) - 1)]
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        say("  ".join([*cells, row[-1]]).rstrip())
