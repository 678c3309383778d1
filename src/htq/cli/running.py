"""`htq server`, `htq worker`, `htq up`: settings are read, and the composition root does the rest."""

import logging
import sys

from htq import logs
from htq.cli import exits
from htq.cli.flags import Parser, add_settings, typed_flags
from htq.cli.sources import Loaded, load
from htq.policy.settings import Command
from htq.words.errors import ConfigError, HtqError

__all__ = ["run", "running_parser"]

log = logging.getLogger("htq")

_PURPOSE: dict[Command, str] = {
    "server": "Serve the HTTP interface.",
    "worker": "Send what is queued, and keep the responses.",
    "up": "Serve the HTTP interface and send what is queued, in one process.",
}


def run(command: Command, arguments: list[str]) -> int:
    """Run until SIGTERM or SIGINT. A second one hands back what is in flight, a third ends it at once."""
    parser = running_parser(command)
    loaded = _load(parser.prog, typed_flags(parser.parse_args(arguments)), command)
    if loaded is None:
        return exits.USAGE
    settings, file = loaded
    logs.configure(settings.log.log_format, settings.log.debug)
    if file is not None:
        log.info("Settings from %s", file)
    from htq.compose import run as run_system

    try:
        in_order = run_system(settings, command)
    except HtqError as error:
        # One sentence; what is behind it is for who debugs.
        log.error("%s", error, exc_info=error if settings.log.debug else None)
        return exits.FAILED
    except Exception:
        log.critical("htq made a mistake, and stops", exc_info=True)
        return exits.FAILED
    return exits.OK if in_order else exits.FAILED


def running_parser(command: Command) -> Parser:
    """What `command` takes."""
    parser = Parser(prog=f"htq {command}", description=_PURPOSE[command])
    add_settings(parser, command)
    return parser


def _load(prog: str, flags: dict[str, object], command: Command) -> Loaded | None:
    try:
        return load(flags, command)
    except ConfigError as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return None
