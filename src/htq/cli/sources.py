"""Where settings come from: the environment and the file, read here and judged in `htq.policy.config`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from htq.policy.config import resolve
from htq.policy.settings import Command, Settings
from htq.words.errors import ConfigError

__all__ = ["FILE_NAME", "Loaded", "load"]

FILE_NAME = "htq.toml"


class Loaded(NamedTuple):
    """The settings, and the file that they were read from, if there is one."""

    settings: Settings
    file: Path | None


def load(flags: Mapping[str, Any], command: Command) -> Loaded:
    """The settings for `command`. `flags` holds those that were typed, and `config` where a file was named.

    The file is the one named by `--config`, else by `HTQ_CONFIG`, else `htq.toml` in the working folder, else in
    `$XDG_CONFIG_HOME/htq` (`~/.config/htq`); a named one must be there. Raises `ConfigError`.
    """
    typed = dict(flags)
    path = _file(typed.pop("config", None))
    settings = resolve(
        flags=typed,
        environ=os.environ,
        file=_read(path) if path else None,
        file_name=str(path) if path else FILE_NAME,
        home=str(_home() or ""),
        command=command,
    )
    return Loaded(settings, path)


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user id without an entry, as containers like to have it
        return None


def _file(named: str | None) -> Path | None:
    named = named or os.environ.get("HTQ_CONFIG")
    if named:
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    home = _home()
    shared = Path(folder) if folder.startswith("/") else home and home / ".config"
    candidates = (Path(FILE_NAME), shared and shared / "htq" / FILE_NAME)
    return next((path for path in candidates if path and _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # somebody else's home
        return False


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
