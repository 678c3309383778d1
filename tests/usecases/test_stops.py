"""How a target is told to stop: resolved option by option."""

import pytest

from htq.stores.base import QueueSettings
from htq.usecases import CancelWish
from htq.usecases.stops import queue_settings, stop_policy
from htq.words.errors import InvalidField
from htq.words.task import StopPolicy

URL = "http://example.com/work"


def test_the_task_goes_before_its_queue_and_that_before_the_usual() -> None:
    queue = queue_settings(CancelWish(delete=False, method="put", headers={"X-A": "queue"}))
    wish = CancelWish(url="http://example.com/{uuid}", headers={"x-b": "task"})
    assert stop_policy(wish, queue, "always", method="get", url=URL) == StopPolicy(
        delete=False, method="PUT", url="http://example.com/{uuid}", headers=(("x-b", "task"),)
    )


def test_no_headers_at_all_can_be_wished_for() -> None:
    queue = queue_settings(CancelWish(headers={"X-A": "queue"}))
    assert stop_policy(CancelWish(headers={}), queue, "always", method="get", url=URL).headers == ()


@pytest.mark.parametrize(
    ("default", "method", "delete"), [("always", "get", True), ("post", "get", False), ("never", "post", False)]
)
def test_delete_is_the_servers_word_where_neither_said_it(default: str, method: str, delete: bool) -> None:
    for queue in (None, QueueSettings(), queue_settings(CancelWish(grace=1))):
        for wish in (None, CancelWish(), CancelWish(on_timeout=True)):
            assert stop_policy(wish, queue, default, method=method, url=URL).delete is delete  # type: ignore[arg-type]


def test_what_a_queue_says_of_delete_holds_on_every_server() -> None:
    for word in (True, False):
        assert stop_policy(None, queue_settings(CancelWish(delete=word)), "never", method="get", url=URL).delete is word


def test_an_empty_wish_of_a_queue_is_kept_apart_from_none() -> None:
    assert queue_settings(None) == QueueSettings()
    assert queue_settings(CancelWish()) == QueueSettings(stop=StopPolicy(), stop_delete_given=False)


def test_a_template_is_judged_with_the_url_that_it_begins_with() -> None:
    long = "http://example.com/" + "x" * 8165
    with pytest.raises(InvalidField) as found:
        stop_policy(CancelWish(url="{url}/cancel"), None, "always", method="get", url=long)
    assert found.value.pointer == "/cancel/url"
