"""What `htq --help` shows: the seed's screen, with the commands that came since."""

from typing import Final

from htq.cli.flags import FLAG_SETTINGS, default_text
from htq.policy.settings import Setting

__all__ = ["COMMANDS", "SEED_OPTIONS", "screen"]

SEED_OPTIONS: Final = ("debug", "host", "port", "redis", "threads")

COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("server [--host <host>] [--port <port>] [--redis <host>] [--debug]", "Serve the HTTP interface."),
    ("worker [--threads <n>] [--redis <host>] [--debug]", "Send what is queued, and keep the responses."),
    ("up [--host <host>] [--port <port>] [--threads <n>] [--debug]", "Both in one process."),
    ("demo", "A tour with a slow service, which ends by itself."),
    ("bench", "Measure htq on this machine."),
    ("check-service <url>", "Find out whether a service honors a cancel."),
    ("send <url> [-X <method>] [-H <header>] [-d <data>] [--wait]", "Queue a request."),
    ("get | status | response | wait | cancel | retry | purge <uuid>", "Look at one, wait for it, stop it."),
    ("list [--status <word>] [--queue <name>]", "What is queued."),
    ("queues [pause <name>]", "Counts, limits, pauses."),
    ("groups show | wait | close | cancel <name>", "Requests that belong together."),
    ("schedules [put <name> <url> --cron <fields>]", "Requests that come again and again."),
)
"""Every command with its usage, and what it is for."""


def screen() -> str:
    """The whole text."""
    lines = ["HTTP Task Queue: send slow requests in the background, and really cancel them.", "", "Usage:"]
    lines += [f"  htq {usage}" for usage, _ in COMMANDS]
    lines += ["", "Commands:"]
    for usage, purpose in COMMANDS:
        names = usage.partition(" <")[0] if "|" in usage else usage.partition(" ")[0]
        lines.append(f"  {names.replace(' |', ','):<52}{purpose}")
    lines += ["", "Options:", _option("-h --help", "Show this screen."), _option("-v --version", "Show the version.")]
    by_name = {setting.name: setting for setting in FLAG_SETTINGS}
    lines += [_setting(by_name[name]) for name in SEED_OPTIONS]
    lines += [
        "",
        "htq <command> --help has all options of a command. Without --redis or --store, tasks live in one embedded",
        "file. Every setting can also come from an HTQ_* variable or from htq.toml.",
    ]
    return "\n".join(lines) + "\n"


def _setting(setting: Setting) -> str:
    if setting.kind == "switch":
        return _option(setting.flag, f"{setting.about.help}.")
    return _option(
        f"{setting.flag} {setting.about.metavar}", f"{setting.about.help} [default: {default_text(setting)}]."
    )


def _option(flag: str, text: str) -> str:
    import textwrap

    indent = " " * 20
    lines = textwrap.wrap(text, 100, initial_indent=f"  {flag:<18}", subsequent_indent=indent)
    return "\n".join(lines)
