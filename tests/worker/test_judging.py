"""What an exchange comes to: for its task, its lane and what it is charged."""

from htq.policy.store_time import StoreTime
from htq.sender.base import Reply
from htq.stores.base import Claim, Done, Released, Retry
from htq.words.clock import Chance
from htq.words.errors import SendError
from htq.words.limits import Hold
from htq.words.reasons import Reason
from htq.words.retry import RetryPolicy
from htq.words.task import Delivery, Headers, Request, StopPolicy
from htq.worker.judging import Judge, Verdict
from support.clock import ManualClock

CLOCK = ManualClock()
NOW = CLOCK.now_ms()
POLICY = RetryPolicy(max=2, delays=(10,))


def claim(
    *,
    retry: RetryPolicy | None = POLICY,
    failures: int = 0,
    delivery: Delivery = "at_least_once",
    stop: StopPolicy | None = None,
    cost_from: dict[str, str] | None = None,
    method: str = "post",
) -> Claim:
    return Claim(
        uuid="01a20a08-766b-7000-bc7b-c5d8b1b884e2",
        attempt=failures + 1,
        claimed_at=NOW,
        request=Request(
            url="http://127.0.0.1:9/work",
            method=method,
            retry=retry,
            stop=stop or StopPolicy(),
            cost_from=cost_from or {},
        ),
        body=b"",
        body_size=0,
        delivery=delivery,
        failures=failures,
        begun_at=NOW,
    )


def replied(
    each: Claim, code: int, *headers: tuple[str, str], body: bytes | None = b"so", spilled: bytes = b""
) -> Verdict:
    fields: Headers = headers
    reply = Reply(code=code, phrase="So", headers=fields, body=body, body_size=len(body or spilled))
    return Judge(StoreTime(CLOCK), Chance(CLOCK, seed=1)).replied(each, reply, 1.5, spilled or None)


def failed(each: Claim, reason: Reason, *, sent: bool = True) -> Verdict:
    error = SendError(reason, "it failed", sent=sent)
    return Judge(StoreTime(CLOCK), Chance(CLOCK, seed=1)).failed(each, error, 1.5, sent=sent)


def test_without_a_policy_any_answer_is_a_success() -> None:
    verdict = replied(claim(retry=None), 503)
    assert isinstance(verdict.result, Done)
    assert (verdict.result.state, verdict.result.reason, verdict.reason) == ("success", None, None)
    assert verdict.health == "bad"


def test_what_the_policy_does_not_name_is_a_success_too() -> None:
    verdict = replied(claim(), 404)
    assert isinstance(verdict.result, Done)
    assert (verdict.result.state, verdict.health) == ("success", "good")


def test_a_failure_is_followed_by_another_attempt_and_says_why() -> None:
    verdict = replied(claim(), 503)
    assert verdict.result == Retry(NOW + 10_000)
    assert (verdict.reason, verdict.message) == ("status", "the target answered 503")


def test_the_last_failure_keeps_its_answer() -> None:
    verdict = replied(claim(failures=2), 503, ("X-A", "1"), body=b"sorry")
    assert isinstance(verdict.result, Done)
    response = verdict.result.response
    assert (verdict.result.state, verdict.result.reason) == ("error", "status")
    assert (response.code, response.body, response.headers) == (503, b"sorry", (("X-A", "1"),))
    assert response.message == verdict.message == "the target answered 503, and no retry is left"


def test_retry_after_is_a_floor_for_the_task_and_a_hold_for_its_lane() -> None:
    verdict = replied(claim(), 429, ("Retry-After", "7200"))
    assert verdict.result == Retry(NOW + 7_200_000)
    assert verdict.hold == Hold(NOW + 3_600_000, "rate_limited")
    assert verdict.health == "good"


def test_a_target_that_wants_no_other_attempt_gets_none() -> None:
    verdict = replied(claim(), 503, ("HTQ-Retry", "no"))
    assert isinstance(verdict.result, Done)
    assert (verdict.result.state, verdict.result.reason) == ("error", "status")
    assert "HTQ-Retry: no" in (verdict.message or "")


def test_a_hold_is_learned_from_a_success_as_well() -> None:
    verdict = replied(claim(retry=None), 200, ("RateLimit", '"default";r=0;t=30'))
    assert verdict.hold == Hold(NOW + 30_000, "quota")


def test_costs_are_read_from_header_and_body_of_any_answer() -> None:
    sources = {"tokens": "/usage/total_tokens", "credits": "X-Credits"}
    body = b'{"usage": {"total_tokens": 12}}'
    for each in (claim(cost_from=sources), claim(cost_from=sources, retry=None)):
        for code in (200, 503):
            assert replied(each, code, ("x-credits", "3"), body=body).costs == {"tokens": 12, "credits": 3}
    spilled = replied(claim(cost_from=sources), 200, body=None, spilled=body)
    assert spilled.costs == {"tokens": 12}
    assert replied(claim(cost_from=sources), 200).costs is None


def test_a_failure_without_an_answer_is_tried_again_too() -> None:
    verdict = failed(claim(), "reset")
    assert verdict == Verdict(Retry(NOW + 10_000), "reset", "it failed", health="bad")


def test_when_no_retry_is_left_a_timeout_is_a_timeout_and_the_rest_an_error() -> None:
    for reason, state in (("total", "timeout"), ("connect", "error")):
        verdict = failed(claim(failures=2), reason)  # type: ignore[arg-type]
        assert isinstance(verdict.result, Done)
        assert (verdict.result.state, verdict.result.reason) == (state, reason)
        assert verdict.result.response.message == "it failed, and no retry is left"


def test_a_failure_that_the_policy_does_not_name_is_the_end() -> None:
    verdict = failed(claim(), "protocol")
    assert isinstance(verdict.result, Done)
    assert (verdict.result.state, verdict.message) == ("error", "it failed")


def test_at_most_once_is_tried_again_only_where_no_byte_had_left() -> None:
    once = claim(delivery="at_most_once")
    assert isinstance(failed(once, "connect", sent=False).result, Retry)
    assert isinstance(failed(once, "reset").result, Done)
    assert isinstance(replied(once, 503).result, Done)


def test_a_dead_kept_connection_counts_as_a_failure_only_where_it_must() -> None:
    assert isinstance(failed(claim(method="get"), "connection_reused").result, Released)
    assert isinstance(failed(claim(method="post"), "connection_reused").result, Retry)
    assert failed(claim(method="post"), "connection_reused").health is None


def test_a_timeout_owes_a_stop_where_the_task_says_so_and_nothing_else_does() -> None:
    told = StopPolicy(on_timeout=True)
    for retry in (POLICY, None):
        assert failed(claim(retry=retry, stop=told), "total").owes_stop
        assert not failed(claim(retry=retry, stop=told), "reset").owes_stop
        assert not failed(claim(retry=retry), "total").owes_stop


def test_between_attempts_a_stop_is_owed_only_where_something_had_left() -> None:
    told = claim(stop=StopPolicy(between=True))
    assert replied(told, 503).result == Retry(NOW + 10_000, between=True)
    assert failed(told, "reset").result == Retry(NOW + 10_000, between=True)
    assert failed(told, "connect", sent=False).result == Retry(NOW + 10_000)
