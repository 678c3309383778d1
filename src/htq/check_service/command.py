"""The command line of `htq check-service`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from htq.check_service.findings import judge, verdict
from htq.check_service.probe import Plan, probe
from htq.policy.fields import is_credential
from htq.policy.target import parse_target
from htq.words.clock import Chance, SystemClock
from htq.words.errors import InvalidField
from htq.words.task import Request

__all__ = ["run"]

_MARKS: Final = {"yes": "  ok  ", "no": "  NO  ", "warn": "   -  "}

_DESCRIPTION = """\
Run a slow request against a service, cancel it as htq would, and say what the service did and did not do.
Exit code: 0 it honors a cancel, 1 it does not, 2 that could not be found out.
"""
_EPILOG = """\
The request is sent up to four times, and DELETE goes to the same URL: on a plain REST resource that deletes it.
"""


def run(argv: Sequence[str]) -> int:
    """See `htq.check_service.main`."""
    plan = _plan(argv)
    out = sys.stdout
    out.write(f"{plan.request.method.upper()} {plan.request.url}\n")
    clock = SystemClock()
    seen = probe(plan, clock, Chance(clock), lambda step: _say(step))
    for finding in judge(seen):
        out.write(f"{_MARKS[finding.mark]}{finding.text}\n")
    end = verdict(seen)
    out.write(f"{end.text}\n")
    return end.code


def _say(step: str) -> None:
    sys.stderr.write(f"... {step}\n")
    sys.stderr.flush()


def _plan(argv: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(
        prog="htq check-service",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="the service, and a request that takes ten seconds or more")
    parser.add_argument("-X", "--method", help="of the request [default: POST where there is data, else GET]")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="may be repeated")
    parser.add_argument("-d", "--data", help="the body, as it is")
    parser.add_argument("--json", metavar="DATA", help="the body, as application/json")
    parser.add_argument(
        "--running-after", type=float, default=1.0, metavar="SECONDS", help="when to cancel it [default: 1]"
    )
    given = parser.parse_args(argv)
    if given.data is not None and given.json is not None:
        parser.error("--data and --json are two bodies")
    text: str = given.json if given.json is not None else given.data or ""
    headers: list[tuple[str, str]] = []
    for line in given.header:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            parser.error(f"{line!r} is no header: write NAME: VALUE")
        headers.append((name.strip(), value.strip()))
    if given.json is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    try:
        parse_target(given.url)
    except InvalidField as refused:
        parser.error(str(refused))
    request = Request(
        url=given.url,
        method=(given.method or ("post" if text else "get")).lower(),
        headers=tuple(headers),
    )
    credentials = frozenset(name.lower() for name, _ in headers if is_credential(name))
    return Plan(request, text.encode(), credentials, given.running_after)
