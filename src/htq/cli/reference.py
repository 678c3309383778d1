"""The pages of settings and of commands, made from their tables."""

from argparse import Action

from htq.cli.asking import CLIENT_COMMANDS, client_parser
from htq.cli.exits import MEANINGS
from htq.cli.flags import Parser, default_text
from htq.cli.running import running_parser
from htq.cli.screen import screen
from htq.policy.durations import format_duration
from htq.policy.settings import ALIASES, RUNNING_COMMANDS, SETTINGS, Setting, Settings

__all__ = ["commands_page", "settings_page"]

_HEAD = """\
# Settings

Made by `scripts/reference.py` from the table in `htq/policy/settings.py`; a test checks that it is up to date.

A setting has one name in three spellings: a flag, a variable, a key at the top of `htq.toml`. A flag goes before a
variable, a variable before the file, the file before the default. A key or an `HTQ_*` variable that is not in this list is
an error.

The file is the one that `--config` names, else `HTQ_CONFIG`, else `htq.toml` in the working folder, else in
`$XDG_CONFIG_HOME/htq` (`~/.config/htq`). `HTQ_URL` tells the client commands and the Python client where the server is.

- A duration is a number of seconds, or written as `90s`, `5m`, `1h30m`, `7d`.
- A switch is `on` or `off` in a variable, `true` or `false` in the file; its flag takes no value.
- A list is separated by commas in a flag or variable, and an array in the file.
"""

_COMMANDS_HEAD = """\
# Commands

Made by `scripts/reference.py` from what the commands say of themselves; a test checks that it is up to date.

What a command was asked for goes to standard output, log lines and errors to standard error. `demo`, `bench` and
`check-service` answer to `--help` as well.
"""

_EXITS = """
## Exit codes

| code | meaning |
|---|---|
"""


def settings_page() -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for branch, group in Settings.__annotations__.items():
        parts.append(f"\n## {branch.capitalize()}\n\n{group.__doc__}\n")
        parts.extend(_entry(setting) for setting in (*SETTINGS, *ALIASES) if setting.branch == branch)
    return "".join(parts)


def commands_page() -> str:
    """The page, in Markdown."""
    parts = [_COMMANDS_HEAD, f"\n```console\n$ htq --help\n{screen()}```\n", _EXITS]
    parts.extend(f"| {code} | {meaning} |\n" for code, meaning in MEANINGS.items())
    parsers = [running_parser(command) for command in RUNNING_COMMANDS]
    parsers += [client_parser(command) for command in CLIENT_COMMANDS]
    parts.extend(map(_command, parsers))
    return "".join(parts)


def _command(parser: Parser) -> str:
    """One command. Not what `--help` prints: that differs between versions of Python."""
    rows = [
        f"| {', '.join(f'`{_shown(action, option)}`' for option in action.option_strings or [''])} | {_cell(action)} |\n"
        for action in parser._actions
        if action.dest != "help"
    ]
    return f"\n## `{parser.prog}`\n\n{parser.description}\n\n| argument | what it says |\n|---|---|\n{''.join(rows)}"


def _shown(action: Action, option: str) -> str:
    value = "" if action.nargs == 0 else str(action.metavar).replace("|", r"\|")
    return f"{option} [{value}]" if action.nargs == "?" else f"{option} {value}".strip()


def _cell(action: Action) -> str:
    return (action.help or "").replace("%%", "%").replace("|", r"\|").replace("<", r"\<")


def _entry(setting: Setting) -> str:
    about = setting.about
    facts: list[str] = [setting.kind]
    if setting.choices:
        facts.append(" or ".join(f"`{choice}`" for choice in setting.choices))
    if about.low is not None and about.high is not None:
        show = format_duration if setting.kind == "duration" else "{:g}".format
        facts.append(f"from {show(about.low)} to {show(about.high)}")
    default = default_text(setting)
    if default:
        facts.append(f"{'default' if about.bare is None else 'alone'}: `{default}`")
    facts.append(f"for {', '.join(f'`{command}`' for command in about.commands)}")
    flag = f"--no-{setting.flag[2:]}" if setting.default is True else setting.flag
    text = about.help.replace("<", r"\<")
    return f"\n### `{setting.name}`\n\n`{flag}` · `{setting.variable}`\n\n{text}.\n\n{'; '.join(facts)}.\n"
