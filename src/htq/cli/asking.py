"""The commands that ask a running server: each with what it is for, what it takes and what it does."""

import argparse
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from htq.cli import exits, groups, queues, requests, schedules
from htq.cli.flags import Parser
from htq.client import Client, HtqClientError, NotFound, NotYet, Unavailable

__all__ = ["CLIENT_COMMANDS", "ask", "client_parser"]


class _Command(NamedTuple):
    purpose: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Client, argparse.Namespace], int]


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    """It takes what every command takes."""


_COMMANDS: Final[dict[str, _Command]] = {
    "send": _Command(
        "Queue a request, and print its uuid; with --wait, wait for the response and print that.",
        requests.add_send,
        requests.send,
    ),
    "get": _Command("Show a request.", requests.add_uuid, requests.get),
    "status": _Command(
        "Print where a request stands: queued, pending, success, timeout, error or canceled.",
        requests.add_uuid,
        requests.status,
    ),
    "response": _Command("Print a request's response if it is there.", requests.add_uuid, requests.response),
    "wait": _Command("Wait for a request's response, and print it.", requests.add_wait, requests.wait),
    "cancel": _Command(
        "Cancel a request, whatever it is doing; or all that the filters take of those that are there now.",
        requests.add_cancel,
        requests.cancel,
    ),
    "retry": _Command(
        "Run a request again that has ended; or all that the filters take of those that are there now.",
        requests.add_retry,
        requests.retry,
    ),
    "purge": _Command("Delete a request's response.", requests.add_uuid, requests.purge),
    "list": _Command("Show what is queued, or what the filters take.", requests.add_list, requests.list_requests),
    "queues": _Command("Show the queues.", _add_nothing, queues.list_queues),
    "queues show": _Command("Show a queue.", queues.add_name, queues.show),
    "queues pause": _Command("Start nothing of a queue.", queues.add_pause, queues.pause),
    "queues resume": _Command("Let a queue go on.", queues.add_name, queues.resume),
    "queues put": _Command("Say what holds for a queue.", queues.add_put, queues.put),
    "queues delete": _Command("Forget what was said of a queue.", queues.add_delete, queues.delete),
    "groups": _Command("Wait for requests that belong together, or cancel them.", _add_nothing, groups.choose),
    "groups show": _Command("Show a group, with the counts of its requests.", groups.add_name, groups.show),
    "groups wait": _Command("Wait until a group is complete, and show it.", groups.add_wait, groups.wait),
    "groups close": _Command(
        "Take no more requests into a group, so that it can be complete.", groups.add_name, groups.close
    ),
    "groups cancel": _Command("Cancel all of a group that has not ended.", groups.add_cancel, groups.cancel),
    "schedules": _Command("Show the schedules.", _add_nothing, schedules.list_schedules),
    "schedules show": _Command("Show a schedule.", schedules.add_name, schedules.show),
    "schedules put": _Command(
        "Make a schedule, or put it in the place of the one of its name.", schedules.add_put, schedules.put
    ),
    "schedules pause": _Command("Make nothing until it is resumed.", schedules.add_name, schedules.pause),
    "schedules resume": _Command("Go on with the next time from now.", schedules.add_name, schedules.resume),
    "schedules delete": _Command(
        "Forget a schedule; the requests that it made stay.", schedules.add_name, schedules.delete
    ),
}

CLIENT_COMMANDS: Final = tuple(_COMMANDS)

_EPILOG: Final = (
    "Exit codes: 0 done, 1 failed (the request too, for wait), 2 usage, 3 not found, 4 canceled, 5 not yet, "
    "69 no answer from the server. The server is at --server, else $HTQ_URL, else http://localhost:5000."
)


def ask(command: str, arguments: list[str]) -> int:
    """Run one of the commands; the exit code. The second word of `queues pause` is the first of its arguments."""
    both = f"{command} {arguments[0]}" if arguments else command
    if both in _COMMANDS:
        command, arguments = both, arguments[1:]
    parser = client_parser(command)
    given = parser.parse_args(arguments)
    try:
        with Client(given.server) as client:
            return _COMMANDS[command].run(client, given)
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


def client_parser(command: str) -> Parser:
    """What `command` takes."""
    words = [name.removeprefix(f"{command} ") for name in _COMMANDS if name.startswith(f"{command} ")]
    more = f" Besides: htq {command} {' | '.join(words)}." if words else ""
    parser = Parser(prog=f"htq {command}", description=_COMMANDS[command].purpose + more, epilog=_EPILOG)
    _COMMANDS[command].add(parser)
    parser.add_argument("--server", metavar="<url>", help="Address of the server.")
    parser.add_argument("--json", action="store_true", help="Print JSON, as the server gave it.")
    return parser


def _fail(parser: Parser, error: Exception, code: int) -> int:
    sys.stderr.write(f"{parser.prog}: {error}\n")
    return code
