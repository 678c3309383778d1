"""The pages of the documentation, run as they stand: their commands, with free ports in place of 5000 and 8000.

What a page shows below a command is what a reader may expect: the code and the headers; of JSON every
key and value that is shown, where more may come; uuids, times and measured numbers are those of the day.
"""

import json
import re
from typing import Any, Final

from e2e.test_readme import ROOT, UUID, Shell

__all__ = ["DocsShell", "play", "steps"]

BASE: Final = "http://localhost:5000"
_ENVIRONMENT: Final = re.compile(r"(?:[A-Z_]+=\S+ )+")
_OF_THE_DAY: Final = 1_000_000_000_000
"""From here on a number is a time in epoch milliseconds."""


class DocsShell(Shell):
    """Also runs `htq up`, the commands that ask it, and what stands behind variables of the environment."""

    def translate(self, command: str) -> str:
        if found := _ENVIRONMENT.match(command):
            return f"env {found[0]}{self.translate(command[found.end() :])}"
        if command == "htq up":
            return super().translate("htq server").replace(" server ", " up ")
        if command.startswith("python -c"):
            return super().translate(command).rpartition(" ")[0]
        asks = command.startswith("htq ")
        command = super().translate(command)
        return f"{command} --server {super().translate(BASE)}" if asks else command


def steps(page: str) -> list[tuple[str, list[str]]]:
    """The page's commands, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL):
        command, *output = block.splitlines()
        assert command.startswith("$ ")
        found.append((command[2:], output))
    return found


async def play(shell: DocsShell, page: str) -> int:
    """Run a page, and compare; how many commands it has."""
    ran = 0
    uuids: dict[str, str] = {}
    for command, shown in steps(page):
        ran += 1
        for uuid, ours in uuids.items():
            command = command.replace(uuid, ours)
        if not shown:
            await shell.stay(command, "listening on" if "python " in command else " * Running on")
            continue
        out = await shell.run(command)
        _learn(uuids, shown, out)
        try:
            _compare(out, [_with_ours(uuids, shell.translate(line)) for line in shown])
        except AssertionError as error:
            raise AssertionError(f"{page}: {command}\nshown: {shown}\ngiven: {out}\n{error}") from None
    return ran


def _learn(uuids: dict[str, str], shown: list[str], out: str) -> None:
    """Which uuid of ours a uuid of the page stands for: the one at the same place, the first time that it is shown."""
    for label in (r"location: http://localhost:\d+/", r'"uuid": ?"'):
        theirs = re.findall(f"{label}({UUID})", "\n".join(shown), re.IGNORECASE)
        for uuid, ours in zip(theirs, re.findall(f"{label}({UUID})", out, re.IGNORECASE), strict=False):
            uuids.setdefault(uuid, ours)


def _with_ours(uuids: dict[str, str], line: str) -> str:
    for uuid, ours in uuids.items():
        line = line.replace(uuid, ours)
    return line


def _compare(out: str, shown: list[str]) -> None:
    if shown[0].startswith("HTTP/"):
        head, _, body = out.partition("\r\n\r\n")
        given = head.splitlines()
        # The words after the code are the standard library's, and change with it.
        assert given[0].split()[:2] == shown[0].split()[:2]
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in given[1:])}
        at = shown.index("") if "" in shown else len(shown)
        for line in shown[1:at]:
            name, _, value = line.partition(": ")
            assert name.lower() in fields, f"no {name}"
            if name not in ("Content-Type", "Link"):
                assert fields[name.lower()] == value
        shown, out = shown[at + 1 :], body
        if not shown:
            return
    text = "".join(shown)
    if text[:1] in ("{", "["):
        _agree(json.loads(text), json.loads(out), "")
    elif not text.endswith("…"):
        assert out.splitlines() == shown


def _agree(shown: Any, given: Any, at: str) -> None:
    """`given` has all that is shown. A list has just as many elements."""
    if isinstance(shown, dict):
        assert isinstance(given, dict), at
        for key, value in shown.items():
            assert key in given, f"no {at}/{key}"
            _agree(value, given[key], f"{at}/{key}")
    elif isinstance(shown, list):
        assert isinstance(given, list), at
        assert len(given) == len(shown), f"{at} has {len(given)} elements"
        for number, (one, other) in enumerate(zip(shown, given, strict=True)):
            _agree(one, other, f"{at}/{number}")
    elif isinstance(shown, float) or (isinstance(shown, int) and shown >= _OF_THE_DAY):
        assert isinstance(given, int | float), at
    elif not isinstance(shown, str) or not re.search(UUID, shown):
        assert given == shown, f"{at} is {given!r}"
