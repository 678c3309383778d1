"""The table of transitions: closed, complete, and what every guard is made from."""

from typing import get_args

import pytest

from htq.words.attempt import PHASES, UNSENT_PHASES
from htq.words.reasons import REASONS
from htq.words.states import FINAL, LIVE, STATES, STATUSES, TRANSITIONS, State, Status, status_of
from htq.words.task import CancelRecord, DeleteRecord, DeleteState, Request, Task

SEED_WORDS = {"queued", "pending", "success", "timeout", "error", "canceled"}


def test_status_words_are_the_seeds_six() -> None:
    assert set(STATUSES) == SEED_WORDS == set(get_args(Status))


def test_states_are_final_or_live_and_never_both() -> None:
    assert set(STATES) == FINAL | LIVE
    assert FINAL.isdisjoint(LIVE)
    assert len(STATES) == len(set(STATES))


def test_table_names_known_states_only() -> None:
    for row in TRANSITIONS:
        assert row.sources | row.targets <= set(STATES)
        assert row.canceled_to is None or row.canceled_to in STATES
        assert row.note


def test_no_row_is_empty_on_both_sides() -> None:
    assert all(row.sources or row.targets for row in TRANSITIONS)


def test_one_verb_has_one_row_for_a_source() -> None:
    """But for `expire`, which ends a task in two ways: by `start_by` and by `deadline`."""
    pairs = [(row.verb, source) for row in TRANSITIONS for source in row.sources or {None} if row.verb != "expire"]
    assert len(pairs) == len(set(pairs))
    ends = [row.targets for row in TRANSITIONS if row.verb == "expire" and "queued" in row.sources]
    assert ends == [{"timeout"}, {"canceled"}]


def test_every_state_can_be_reached_from_an_enqueue() -> None:
    reached: set[State] = set()
    while True:
        further = {
            target
            for row in TRANSITIONS
            if not row.sources or row.sources & reached
            for target in (*row.targets, *([row.canceled_to] if row.canceled_to else []))
        }
        if further <= reached:
            break
        reached |= further
    assert reached == set(STATES)


def test_every_state_can_come_to_an_end() -> None:
    ending: set[State] = set()
    while True:
        more = {source for row in TRANSITIONS if not row.targets or row.targets & ending for source in row.sources}
        if more <= ending:
            break
        ending |= more
    assert ending == set(STATES)


def test_final_state_changes_by_cancel_retry_and_forget_alone() -> None:
    """A final status never changes, except by an explicit cancel or retry."""
    for row in TRANSITIONS:
        if row.sources & FINAL and row.verb not in ("cancel", "retry", "forget"):
            assert row.verb == "delete_response"
            assert row.sources == row.targets == FINAL


def test_canceled_task_is_never_retried() -> None:
    (row,) = [row for row in TRANSITIONS if row.verb == "retry"]
    assert row.sources == FINAL - {"canceled"}
    assert row.targets <= LIVE - {"pending"}


def test_nothing_leaves_canceled_but_by_forget() -> None:
    for row in TRANSITIONS:
        if "canceled" in row.sources and row.verb not in ("delete_response", "forget"):
            assert row.targets == {"canceled"}


def test_every_way_out_of_pending_leads_to_canceled_once_a_cancel_is_on_record() -> None:
    for row in TRANSITIONS:
        if "pending" in row.sources and row.targets != {"pending"}:
            assert row.canceled_to == "canceled", row.verb


def test_deadline_is_a_cancel_and_leaves_pending_to_its_session() -> None:
    rows = {verb: [row for row in TRANSITIONS if row.verb == verb] for verb in ("cancel", "expire")}
    for verb in rows:
        assert [row.targets for row in rows[verb] if "pending" in row.sources] == [{"pending"}]


def test_only_queued_tasks_are_claimed() -> None:
    (row,) = [row for row in TRANSITIONS if "pending" in row.targets and "pending" not in row.sources]
    assert row.verb == "claim"
    assert row.sources == {"queued"}


@pytest.mark.parametrize("state", STATES)
def test_status_is_a_seed_word_whatever_is_stored(state: State) -> None:
    assert status_of(state, cancel_requested=False) in SEED_WORDS
    assert status_of(state, cancel_requested=True) == "canceled"


def test_scheduled_task_is_shown_as_queued() -> None:
    assert status_of("scheduled", cancel_requested=False) == "queued"
    assert status_of("pending", cancel_requested=False) == "pending"


def test_unsent_phases_are_phases_in_which_no_byte_had_left() -> None:
    assert set(PHASES) >= UNSENT_PHASES
    assert UNSENT_PHASES.isdisjoint({"sending", "sent", "receiving", "finished", "unknown"})


def test_reasons_are_lower_case_words() -> None:
    assert REASONS
    assert all(reason.replace("_", "").isalpha() and reason.islower() for reason in REASONS)


def _task(state: State, delete: DeleteState | None) -> Task:
    cancel = None if delete is None else CancelRecord(requested_at=1, delete=DeleteRecord(state=delete))
    return Task(
        uuid="u",
        request=Request(url="http://127.0.0.1/", method="get"),
        body=b"",
        body_size=0,
        tenant="",
        owner="",
        name=None,
        queue="default",
        key="k",
        host="h",
        priority=5,
        labels={},
        delivery="at_least_once",
        result_ttl=1.0,
        state=state,
        reason=None,
        version=1,
        created_at=0,
        run_at=0,
        finished_at=None,
        attempt=0,
        failures=0,
        crashes=0,
        has_response=False,
        cancel=cancel,
    )


def test_task_is_settled_when_it_is_final_and_no_delete_is_owed() -> None:
    assert _task("success", None).is_settled
    assert _task("canceled", "confirmed").is_settled
    assert _task("canceled", "lapsed").is_settled
    assert not _task("canceled", "owed").is_settled
    assert not _task("pending", "none").is_settled
    assert not _task("queued", None).is_settled


def test_pending_task_is_shown_canceled_from_the_request_on() -> None:
    assert _task("pending", "owed").status == "canceled"
    assert _task("pending", None).status == "pending"
