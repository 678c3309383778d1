"""The pages of settings and of commands are what their tables say."""

from pathlib import Path

from htq.cli import exits
from htq.cli.reference import commands_page, settings_page
from htq.policy.settings import ALIASES, SETTINGS

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGE = FOLDER / "settings.md"
COMMANDS = FOLDER / "commands.md"


def test_the_pages_are_up_to_date() -> None:
    assert PAGE.read_text() == settings_page(), "run scripts/reference.py"
    assert COMMANDS.read_text() == commands_page(), "run scripts/reference.py"


def test_the_page_has_every_setting_in_its_three_spellings() -> None:
    page = PAGE.read_text()
    for setting in (*SETTINGS, *ALIASES):
        assert f"### `{setting.name}`" in page
        assert f"`{setting.variable}`" in page


def test_the_page_has_every_exit_code() -> None:
    page = COMMANDS.read_text()
    codes = {value for name, value in vars(exits).items() if isinstance(value, int)}
    assert codes == set(exits.MEANINGS)
    for code in codes:
        assert f"\n| {code} | " in page
