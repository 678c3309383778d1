"""Plain terminal output: paragraphs as wide as the terminal allows, and colors where somebody looks."""

import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

__all__ = ["Screen", "wants_color"]

_WIDEST: Final = 92
_NARROWEST: Final = 40

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _BLUE, _CYAN = "1", "2", "31", "32", "33", "34", "36"

_STATUS_COLORS: Final = {
    "queued": _BLUE,
    "pending": _YELLOW,
    "success": _GREEN,
    "timeout": _RED,
    "error": _RED,
    "canceled": _RED,
}


def wants_color(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Only on a terminal that knows colors, and never against NO_COLOR (no-color.org: any value but the empty one)."""
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Screen:
    """Writes to `out`, line by line. `width` None: as wide as the terminal, 92 columns at most."""

    def __init__(self, out: TextIO, *, color: bool | None = None, width: int | None = None) -> None:
        self._out = out
        self._color = wants_color(out, os.environ) if color is None else color
        columns = width or shutil.get_terminal_size((80, 24)).columns
        self.width = max(_NARROWEST, min(columns, _WIDEST))

    def title(self, text: str) -> None:
        """The first line of all."""
        lines = self._wrap(text, indent="")
        for line in lines:
            self._line(self._paint(line, _BOLD))
        self._line(self._paint("─" * max(len(line) for line in lines), _DIM))

    def step(self, number: int, text: str) -> None:
        """The heading of a step."""
        self.blank()
        for line in self._wrap(f"{number}  {text}", indent=""):
            self._line(self._paint(line, _BOLD, _CYAN))

    def say(self, text: str) -> None:
        """A paragraph for the reader."""
        self.blank()
        for line in self._wrap(text, indent="   "):
            self._line(line)

    def command(self, first: str, *rest: str) -> None:
        """A command that the reader could type; each argument of `rest` has a line of its own, as a shell allows."""
        self.blank()
        parts = [f"   $ {first}", *(f"       {part}" for part in rest)]
        for number, part in enumerate(parts):
            more = " \\" if number + 1 < len(parts) else ""
            self._line(self._paint(part + more, _BOLD))

    def output(self, lines: Sequence[str]) -> None:
        """What a command printed. A line that is too long goes on in the next, and nothing of it is lost."""
        room = self.width - 5
        for line in lines:
            for start in range(0, max(len(line), 1), room):
                self._line(self._paint("     " + line[start : start + room], _DIM))

    def status(self, status: str, note: str = "", *, seconds: float | None = None) -> None:
        """Where a request stands, and after how many seconds where that matters."""
        stamp = "" if seconds is None else f"{seconds:5.2f} s  "
        word = self._paint(status, _STATUS_COLORS.get(status, _BOLD)) + " " * (8 - len(status))
        self._line(f"     {stamp}{word}  {note}".rstrip())

    def event(self, seconds: float, what: str, details: Sequence[str] = ()) -> None:
        """Something that a service saw, `seconds` after the first of its kind; the details stand below it."""
        stamp = f"     {seconds:5.2f} s  "
        first, *rest = self._wrap(what, indent=" " * len(stamp))
        self._line(stamp + first.lstrip())
        for line in rest:
            self._line(line)
        for detail in details:
            for line in self._wrap(detail, indent=" " * (len(stamp) + 2)):
                self._line(self._paint(line, _DIM))

    def label(self, text: str) -> None:
        """The name of what follows."""
        self.blank()
        self._line("   " + self._paint(text, _BOLD))

    def pair(self, name: str, value: str) -> None:
        """A name and what it stands for, below each other with others of their kind."""
        indent = " " * 16
        first, *rest = self._wrap(value, indent=indent)
        self._line("   " + self._paint(name, _BOLD) + " " * (13 - len(name)) + first.lstrip())
        for line in rest:
            self._line(line)

    def blank(self) -> None:
        self._line("")

    def prompt(self, text: str) -> None:
        """Ask for the Enter key."""
        self.blank()
        self._line("   " + self._paint(text, _DIM))

    def _wrap(self, text: str, indent: str) -> list[str]:
        # Addresses must stay whole, so that they can be clicked on and copied.
        return textwrap.wrap(
            text,
            self.width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [indent]

    def _paint(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._color else text

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()
