"""What the kernel says of processes."""

import os
import resource
from pathlib import Path

from htq.bench.usage import cpu_seconds, rss_bytes, tree_bytes


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def test_cpu_of_a_process_is_what_it_knows_of_itself() -> None:
    before = _own_cpu()
    seen = cpu_seconds(os.getpid())
    assert before - 0.05 <= seen <= _own_cpu() + 0.05


def test_memory_of_a_process_grows_with_what_it_holds() -> None:
    before = rss_bytes(os.getpid())
    held = bytearray(b"x" * (64 << 20))
    grown = rss_bytes(os.getpid()) - before
    assert 48 << 20 < grown < 192 << 20
    assert held


def test_size_of_a_folder_counts_files_at_every_depth(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"123")
    assert tree_bytes(tmp_path) == 8
