"""The documentation can't rot: generated pages are up to date, links lead somewhere, and every word is explained."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from htq.words.reasons import REASONS, Reason

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_generated_pages_are_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_module_that_a_page_names_is_there() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:src/)?htq/[\w/]+(?:\.py|/))`", page.read_text()):
            path = name if name.startswith("src/") else f"src/{name}"
            assert (ROOT / path).exists(), f"{page.name} names {name}"


def test_every_reason_is_explained() -> None:
    assert list(REASONS) == list(get_args(Reason))


def test_every_command_is_in_the_readme() -> None:
    from htq.cli.main import _WORDS

    changelog_and_readme = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    for word in _WORDS:
        assert re.search(rf"`?\b{word}\b`?", changelog_and_readme), f"nobody mentions htq {word}"
