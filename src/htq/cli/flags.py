"""Flags of the commands, made from the table of settings."""

import argparse
from typing import Any, Final, NoReturn

from htq.policy.durations import format_duration
from htq.policy.settings import ALIASES, SETTINGS, Command, Setting

__all__ = ["FLAG_SETTINGS", "Parser", "add_settings", "default_text", "typed_flags"]

FLAG_SETTINGS: Final = (*ALIASES, *SETTINGS)


class Parser(argparse.ArgumentParser):
    """Prints its errors as one line that says where to look, and takes no abbreviated flags: a new one would break them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class does it, with an unknown flag told from the nearest known one."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unknown argument {rest[0]!r}{self._nearest(rest[0])}")
        return found, rest

    def _nearest(self, flag: str) -> str:
        import difflib

        known = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(flag.partition("=")[0], known, 1)
        return f" (did you mean {near[0]}?)" if near else ""


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


def add_settings(parser: argparse.ArgumentParser, command: Command) -> None:
    """Give `parser` the flags of `command`. None of them has a default: what was not typed is absent."""
    parser.add_argument("--config", metavar="<path>", default=argparse.SUPPRESS, help="File to read settings from.")
    for setting in FLAG_SETTINGS:
        about = setting.about
        if command not in about.commands:
            continue
        options: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
        default = default_text(setting)
        options["help"] = f"{about.help} [default: {default}]." if default else f"{about.help}."
        flag = setting.flag
        if setting.kind == "switch":
            options.update(action="store_const", const=not setting.default)
            if setting.default:
                flag = "--no-" + flag.removeprefix("--")
                options["help"] = f"Turn this off: {about.help[0].lower()}{about.help[1:]}."
            else:
                options["help"] = f"{about.help}."
        elif setting.kind == "choice":
            options.update(metavar="|".join(setting.choices))
        else:
            options.update(metavar=about.metavar)
            if about.bare is not None:
                options.update(nargs="?", const=about.bare)
        options["help"] = options["help"].replace("%", "%%")
        parser.add_argument(flag, **options)


def default_text(setting: Setting) -> str:
    """A default as it is shown to people; empty where the help says what an empty one means."""
    if setting.about.bare is not None:
        return setting.about.bare
    if setting.kind == "duration":
        return format_duration(setting.default)
    if setting.kind == "switch":
        return "on" if setting.default else "off"
    return str(setting.default) if setting.default != () else ""


def typed_flags(found: argparse.Namespace) -> dict[str, Any]:
    """The flags that were typed, by setting name, and `config`."""
    known = {setting.name for setting in FLAG_SETTINGS} | {"config"}
    return {name: value for name, value in vars(found).items() if name in known}
