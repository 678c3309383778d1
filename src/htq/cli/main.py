"""`htq`: looks at the first word and hands over. What a command needs is imported when it is called for, and not before."""

import sys
from collections.abc import Sequence
from typing import Final

from htq import __version__
from htq.cli import exits
from htq.policy.settings import RUNNING_COMMANDS

__all__ = ["main"]

_CLIENT: Final = (
    "send",
    "get",
    "status",
    "response",
    "wait",
    "cancel",
    "retry",
    "purge",
    "list",
    "queues",
    "groups",
    "schedules",
)
_WORDS: Final = (*RUNNING_COMMANDS, "demo", "bench", "check-service", *_CLIENT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see `htq.cli.exits`). A usage error raises `SystemExit(2)`, as argparse does it."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    word = arguments[0] if arguments else ""
    if word in ("-h", "--help"):
        return _say(_screen())
    if word in ("-v", "--version"):
        return _say(f"htq {__version__}\n")
    if word not in _WORDS:
        sys.stderr.write(f"htq: unknown command {word!r}{_nearest(word)}; see htq --help\n" if word else _screen())
        return exits.USAGE
    try:
        return _dispatch(word, arguments[1:])
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`htq list | head`): nothing more can be said, not even at exit.
        sys.stdout = None
        return exits.FAILED


def _say(text: str) -> int:
    """Write what was asked for; there may be nobody to read it (`htq -h >&-`)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (AttributeError, OSError):
        sys.stdout = None
        return exits.FAILED
    return exits.OK


def _dispatch(word: str, rest: list[str]) -> int:
    if word == "demo":
        from htq import demo

        return demo.run(rest)
    if word == "bench":
        from htq import bench

        return bench.main(rest)
    if word == "check-service":
        from htq import check_service

        return check_service.main(rest)
    for command in RUNNING_COMMANDS:
        if word == command:
            from htq.cli.running import run

            return run(command, rest)
    from htq.cli.asking import ask

    return ask(word, rest)


def _screen() -> str:
    from htq.cli.screen import screen

    return screen()


def _nearest(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, _WORDS, 1)
    return f" (did you mean {near[0]}?)" if near else ""
