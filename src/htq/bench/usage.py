"""What a process has used so far, as the kernel counts it: all of its threads, living and gone."""

import os
import resource
from pathlib import Path

from htq.words.errors import ConfigError

__all__ = ["check_proc", "cpu_seconds", "reference_ms", "rss_bytes", "tree_bytes"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/<pid>/stat counted from the one after the command's name (proc(5): utime is 14, stime 15, rss 24).
_UTIME, _STIME, _RSS = 11, 12, 21


def check_proc() -> None:
    """Raise `ConfigError` where the kernel does not show what processes use."""
    if not Path("/proc/self/stat").exists():
        raise ConfigError(
            "the benchmark reads CPU time and memory from /proc, which this system does not have: use Linux"
        )


def _stat(pid: int) -> list[str]:
    # The name of the command stands in parentheses and may hold spaces and parentheses itself.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, in seconds; its step is one clock tick (10 ms)."""
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(_stat(pid)[_RSS]) * _PAGE


def tree_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def reference_ms() -> float:
    """CPU that a fixed loop takes right now, in milliseconds: what figures of a busy or another machine are to be divided by."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    total = 0
    for number in range(2_000_000):
        total += number
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000
