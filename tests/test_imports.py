"""Imports point down only: the floors of the house, walked by reading the source, never by importing it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src"

FLOORS = {
    "htq.words": 0,
    "htq.policy": 1,
    "htq.stores.base": 2,
    "htq.stores.sqlite": 2,
    "htq.stores.redis": 2,
    "htq.sender.base": 2,
    "htq.sender": 2,
    "htq.keeper": 3,
    "htq.worker": 3,
    "htq.usecases": 4,
    "htq.api": 5,
    "htq.cli": 5,
    "htq.bench": 5,
    "htq.check_service": 5,
    "htq.demo": 5,
    "htq.logs": 5,
    "htq.process": 5,
    "htq.compose": 5,
    "htq.__main__": 5,
}
"""The part of the house that a module belongs to (the longest name that it starts with), and its floor."""

OUTSIDE = frozenset({"htq", "htq.client", "htq.service", "htq.stores"})
"""Stand beside the house. The package itself gives its version to everybody; `htq.stores` is an empty folder."""

SIDEWAYS = {
    "htq.stores.sqlite": {"htq.stores.base"},
    "htq.stores.redis": {"htq.stores.base"},
    "htq.sender": {"htq.sender.base"},
    "htq.worker": {"htq.keeper"},
    "htq.compose": {"htq.api", "htq.logs", "htq.process"},
    "htq.cli": {"htq.compose", "htq.bench", "htq.check_service", "htq.demo", "htq.logs"},
    "htq.bench": {"htq.compose", "htq.process"},
    "htq.demo": {"htq.compose", "htq.process"},
    "htq.__main__": {"htq.cli"},
}
"""What a part may import on its own floor. Edges don't know each other; only the command line's doors know `compose`."""

CONCRETE = frozenset({"htq.stores.sqlite", "htq.stores.redis", "htq.sender"})
"""What only `compose` names: everybody else knows the protocols in `base`."""

BESIDE = {
    "htq": {"htq.client"},
    "htq.client": {"htq.client"},
    "htq.service": {"htq.service"},
    "htq.cli": {"htq.client"},
}
"""Who may import what stands beside the house, the package itself excepted."""

THIRD_PARTIES = {
    "htq.words": {"msgspec"},
    "htq.policy": {"msgspec"},
    "htq.stores.base": {"msgspec"},
    "htq.stores.sqlite": {"apsw", "msgspec"},
    "htq.stores.redis": {"redis", "msgspec"},
    "htq.sender.base": {"msgspec"},
    "htq.sender": {"httptools", "msgspec"},
    "htq.keeper": set(),
    "htq.worker": {"msgspec"},
    "htq.usecases": {"msgspec"},
    "htq.api": {"httptools", "msgspec", "uvicorn"},
    "htq.logs": {"msgspec"},
    "htq.process": {"uvloop"},
    "htq.demo": {"msgspec"},
    "htq.bench": {"httptools", "msgspec", "redis", "uvloop"},
}
"""Drivers stand at the edges. Whoever is not named imports the standard library alone."""

LAZY_DRIVERS = {
    "htq.service.redis": {"redis"},
    "htq.service.postgres": {"asyncpg"},
    "htq.policy.schedules": {"cronsim"},
}
"""Imported where it is first used: a service that wants a shared registry brings its driver, and most have no schedule."""

IMPURE = frozenset({"asyncio", "random", "secrets", "selectors", "socket", "subprocess", "threading", "time", "uuid"})
"""What policy has no use for: it does no I/O, reads no clock and makes no chance."""


class Import(NamedTuple):
    """One import statement's target. `lazy`: inside a function, or for the type checker only."""

    module: str
    line: int
    lazy: bool


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import of a module, relative ones resolved; `from htq import words` counts as one of `htq.words`."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = _absolute(child, module, is_package)
                for alias in child.names:
                    deeper = f"{base}.{alias.name}"
                    yield Import(deeper if base.startswith("htq") and _exists(deeper) else base, child.lineno, lazy)
            else:
                inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(child)
                yield from visit(child, lazy or inner)

    yield from visit(ast.parse(source), lazy=False)


def _absolute(statement: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - statement.level + is_package]
    return ".".join([*parts, *([statement.module] if statement.module else [])])


def _exists(module: str) -> bool:
    path = SOURCE.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def part_of(module: str) -> str:
    """The part of the house, or what stands beside it, that a module belongs to."""
    names = [name for name in (*FLOORS, *OUTSIDE) if module == name or module.startswith(f"{name}.")]
    return max(names, key=len)


def judge(module: str, found: Import) -> str | None:
    """Why `module` may not have this import; None: it may."""
    if found.module.split(".")[0] == "htq":
        return _judge_own(part_of(module), part_of(found.module))
    return _judge_foreign(module, found)


def _judge_own(part: str, target: str) -> str | None:
    if part == target or (target == "htq" and part not in ("htq.client", "htq.service")):
        return None
    if part in OUTSIDE or target in OUTSIDE:
        return None if target in BESIDE.get(part, set()) else f"{part} knows nothing of {target}"
    if FLOORS[target] > FLOORS[part]:
        return f"the arrow points up: {part} (floor {FLOORS[part]}) to {target} (floor {FLOORS[target]})"
    if target in CONCRETE and part != "htq.compose":
        return f"only htq.compose names {target}; {part} knows the protocol"
    if FLOORS[target] == FLOORS[part] and target not in SIDEWAYS.get(part, set()):
        return f"{part} and {target} don't know each other"
    return None


def _judge_foreign(module: str, found: Import) -> str | None:
    part, package = part_of(module), found.module.split(".")[0]
    if part == "htq.policy" and package in IMPURE:
        return f"policy is pure: it has no use for {package}"
    if package in sys.stdlib_module_names or package in THIRD_PARTIES.get(part, set()):
        return None
    if found.lazy and package in LAZY_DRIVERS.get(module, set()):
        return None
    return f"{part} does without {package}"


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package, with its file."""
    for path in sorted(SOURCE.joinpath("htq").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_import_points_down() -> None:
    complaints = [
        f"{path.relative_to(SOURCE)}:{found.line}: {complaint}"
        for module, path in modules()
        for found in imports_of(path.read_text(), module, is_package=path.name == "__init__.py")
        if (complaint := judge(module, found))
    ]
    assert not complaints, "\n".join(complaints)


def test_every_module_has_its_floor() -> None:
    homeless = [module for module, _ in modules() if module != "htq" and part_of(module) == "htq"]
    assert homeless == []


def test_every_place_in_the_table_is_there() -> None:
    assert [name for name in FLOORS if not _exists(name)] == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("htq.words.task", "from htq.policy.egress import Egress", "points up"),
        ("htq.words.task", "import apsw", "does without apsw"),
        ("htq.policy.egress", "import htq.stores.base", "points up"),
        ("htq.policy.egress", "import random", "pure"),
        ("htq.policy.egress", "def f():\n    from time import monotonic", "pure"),
        ("htq.stores.sqlite.store", "from htq.stores.redis import RedisStore", "only htq.compose"),
        ("htq.stores.redis.store", "from htq.sender.base import Sender", "don't know each other"),
        ("htq.sender.http", "from ..stores import base", "don't know each other"),
        ("htq.stores.base", "from htq.worker import Worker", "points up"),
        ("htq.worker.worker", "from htq.stores.sqlite import SqliteStore", "only htq.compose"),
        ("htq.worker.worker", "from htq.usecases import TaskService", "points up"),
        ("htq.keeper", "from htq.worker import Worker", "don't know each other"),
        ("htq.usecases.submit", "async def f():\n    from htq import api", "points up"),
        ("htq.api.app", "from htq.compose import run", "don't know each other"),
        ("htq.api.app", "from htq.sender import HttpSender", "only htq.compose"),
        ("htq.api.app", "import apsw", "does without apsw"),
        ("htq.client.line", "from htq.words.task import Task", "knows nothing"),
        ("htq.client.line", "import msgspec", "does without msgspec"),
        ("htq.service.asgi", "from htq import __version__", "knows nothing"),
        ("htq.service.asgi", "import redis", "does without redis"),
        ("htq.service.redis", "import redis", "does without redis"),
        ("htq.worker.worker", "if True:\n    import htq.client", "knows nothing"),
        ("htq", "from htq.words import task", "knows nothing"),
    ],
)
def test_planted_import_is_caught(module: str, source: str, complaint: str) -> None:
    found = [judge(module, one) for one in imports_of(source, module)]
    assert len(found) == 1
    assert found[0] is not None
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("htq.words.task", "import asyncio\nimport msgspec\nfrom htq.words.states import State"),
        ("htq.stores.redis.store", "from htq.stores.base import Store\nimport redis.asyncio"),
        ("htq.worker.worker", "from htq.sender.base import Sender\nfrom htq.keeper import Keeper"),
        ("htq.compose", "from htq.stores.sqlite import SqliteStore\nfrom htq.sender import HttpSender"),
        ("htq.cli.main", "def f():\n    from htq import compose, demo, client"),
        ("htq.service.redis", "def f():\n    from redis.asyncio import Redis"),
        ("htq.api.about", "from htq import __version__"),
        ("htq", "def f():\n    from htq import client"),
    ],
)
def test_lawful_import_is_let_through(module: str, source: str) -> None:
    found = list(imports_of(source, module))
    assert found
    assert [judge(module, one) for one in found] == [None] * len(found)


def _loaded_by(statement: str) -> set[str]:
    """The top-level modules, and htq's own, that a fresh interpreter loads for a statement."""
    code = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return {name if name.startswith("htq") else name.split(".")[0] for name in done.stdout.split()}


def test_importing_htq_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import htq")
    assert loaded <= {"htq"} | sys.stdlib_module_names
    assert "asyncio" not in loaded


@pytest.mark.parametrize("module", ["htq.service", "htq.client"])
def test_library_for_others_loads_the_standard_library_alone(module: str) -> None:
    foreign = {name for name in _loaded_by(f"import {module}") if name not in sys.stdlib_module_names}
    assert {name for name in foreign if name != "htq" and not name.startswith(module)} == set()


def test_command_line_loads_no_driver_before_it_is_needed() -> None:
    loaded = _loaded_by("import htq.cli.main")
    assert loaded.isdisjoint({"uvicorn", "redis", "apsw", "httptools", "uvloop", "cronsim", "zoneinfo"})
