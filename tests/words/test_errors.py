"""The one tree of errors, and that its drawing is right."""

import inspect

import pytest

from htq.words import errors
from htq.words.errors import HtqError, InvalidField, NotAllowed, RequestError, SendError, StoreError, StoreUnavailable


def _classes() -> dict[str, type[Exception]]:
    return {
        name: one
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, Exception) and one.__module__ == errors.__name__
    }


def _drawn() -> dict[str, str | None]:
    """Name -> parent, as the module's docstring draws the tree."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        stem = line.lstrip("│ ├└─")
        name = stem.split(" ")[0]
        if name.isidentifier() and (name == "HtqError" or line[:1] in "│├└ ") and (stem != line or name == "HtqError"):
            depth = (len(line) - len(stem)) // 4
            del above[depth:]
            parents[name] = above[-1] if above else None
            above.append(name)
    return parents


def test_tree_is_as_it_is_drawn() -> None:
    classes = _classes()
    drawn = _drawn()
    assert set(drawn) == set(classes)
    for name, parent in drawn.items():
        if parent is not None:
            assert classes[name].__bases__ == (classes[parent],), name


def test_everything_is_exported() -> None:
    assert sorted(errors.__all__) == sorted(_classes())


def test_every_class_says_what_it_is() -> None:
    assert all(one.__doc__ for one in _classes().values())


def test_no_error_shadows_a_builtin() -> None:
    assert not {name for name in _classes() if hasattr(__builtins__, name) or name in dir(__import__("builtins"))}


def test_message_is_the_sentence_and_the_rest_travels_beside() -> None:
    field = InvalidField("Give a URL.", "/url")
    assert (str(field), field.pointer) == ("Give a URL.", "/url")
    allowed = NotAllowed("Not that one.", ("GET", "HEAD"))
    assert (str(allowed), allowed.allow) == ("Not that one.", ("GET", "HEAD"))
    away = StoreUnavailable("Away.", 2.5)
    assert (str(away), away.retry_after, StoreUnavailable("Away.").retry_after) == ("Away.", 2.5, 1.0)
    sent = SendError("connect", "Refused.", sent=False)
    assert (str(sent), sent.reason, sent.sent) == ("Refused.", "connect", False)


def test_one_except_clause_catches_a_branch() -> None:
    with pytest.raises(RequestError):
        raise InvalidField("Give a URL.", "/url")
    with pytest.raises(StoreError):
        raise StoreUnavailable("Away.")
    assert not issubclass(StoreError, RequestError)
    assert issubclass(SendError, HtqError)
