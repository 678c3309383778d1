"""Plain output: as wide as it may be, and colored only where somebody looks."""

import io

import pytest

from htq.demo.screen import Screen, wants_color


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _screen(width: int = 60, *, color: bool = False) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(out, color=color, width=width), out


@pytest.mark.parametrize(
    ("out", "environ", "colored"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colors_are_for_terminals_that_want_them(out: io.StringIO, environ: dict[str, str], colored: bool) -> None:
    assert wants_color(out, environ) is colored


def test_without_color_there_is_no_escape() -> None:
    screen, out = _screen()
    screen.title("title")
    screen.step(1, "step")
    screen.status("success", "note", seconds=1.0)
    screen.command("curl", "-d x")
    assert "\x1b" not in out.getvalue()


def test_color_ends_where_it_began() -> None:
    screen, out = _screen(color=True)
    screen.status("canceled", "now", seconds=0.5)
    assert out.getvalue() == "      0.50 s  \x1b[31mcanceled\x1b[0m  now\n"


def test_paragraphs_keep_to_the_width() -> None:
    screen, out = _screen(50)
    screen.say("many words " * 30)
    screen.event(1.25, "something long happened to the request " * 3, ["a detail that is long as well " * 3])
    screen.pair("name", "what it stands for " * 6)
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 50
    assert len(lines) > 12


def test_an_address_is_never_broken() -> None:
    address = "http://127.0.0.1:40001/0199aaaa-0000-7000-8000-000000000000/response/"
    screen, out = _screen(40)
    screen.say(f"look at {address} soon")
    assert address in out.getvalue()


def test_long_output_goes_on_in_the_next_line_whole() -> None:
    screen, out = _screen(45)
    screen.output(["x" * 100])
    assert [len(line) for line in out.getvalue().splitlines()] == [45, 45, 25]


def test_command_can_be_pasted_into_a_shell() -> None:
    screen, out = _screen()
    screen.command("curl -i http://x/", "-H 'A: b'", "-d '{}'")
    assert out.getvalue() == "\n   $ curl -i http://x/ \\\n       -H 'A: b' \\\n       -d '{}'\n"


def test_width_is_that_of_the_terminal_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in ((20, 40), (70, 70), (200, 92)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert Screen(io.StringIO(), color=False).width == width
