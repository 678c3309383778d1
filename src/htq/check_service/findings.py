"""What was seen, in plain words. Pure."""

from typing import Literal, NamedTuple

from htq.check_service.probe import GRACE, Seen

__all__ = ["Finding", "Verdict", "judge", "verdict"]

Mark = Literal["yes", "no", "warn"]


class Finding(NamedTuple):
    """One thing that the service does (`yes`), does not (`no`), or that is worth a thought (`warn`)."""

    mark: Mark
    text: str


class Verdict(NamedTuple):
    """The last line, and the exit code."""

    code: int
    text: str


_ANSWERS = {
    404: "It says that nothing of the kind runs. Frameworks say so of a DELETE on a route that knows only POST, and so does"
    " another process of a service that has several and no registry.",
    405: "It takes no DELETE here.",
    501: "It takes no DELETE at all.",
    401: "It doesn't take the credentials of the request for its DELETE.",
    403: "It doesn't let the credentials of the request send a DELETE.",
}
_ANSWERS[410] = _ANSWERS[404]


def judge(seen: Seen) -> list[Finding]:
    """The findings, the main ones first."""
    if seen.early is not None:
        return [Finding("warn", _early(seen.early.status, seen.early.error, seen.early.elapsed))]
    findings = [_answer(seen), _end(seen)]
    findings.append(
        Finding("yes", "Another request to the same URL went on: only the named one was meant.")
        if seen.bystander is None
        else Finding(
            "no", "Another request to the same URL ended as well. Match a stop by HTQ-Task-Id and HTQ-Attempt."
        )
    )
    if seen.repeated is not None and (seen.repeated.status is None or seen.repeated.status >= 500):
        findings.append(
            Finding("warn", "The same DELETE once more was an error. htq may repeat one that it got no answer to.")
        )
    if seen.tried_finer_points:
        findings += _finer_points(seen)
    return findings


def verdict(seen: Seen) -> Verdict:
    """Whether the service honors a cancel."""
    if seen.early is not None:
        return Verdict(2, "Could not be checked.")
    marks = [finding.mark for finding in judge(seen)]
    stops = seen.ended is not None or (seen.answer is not None and seen.answer.stopped)
    if not stops:
        return Verdict(1, "This service goes on when it is canceled, as far as anybody can see.")
    if "no" in marks:
        return Verdict(1, "This service stops when it is canceled, but not as the contract says.")
    return Verdict(0, "This service honors a cancel.")


def _early(status: int | None, error: str | None, elapsed: float) -> str:
    if error is not None:
        return f"The request failed: {error}."
    return (
        f"The request was answered with {status} after {elapsed:.1f} s, before it could be canceled."
        " Give one that takes ten seconds or more."
    )


def _answer(seen: Seen) -> Finding:
    answer = seen.answer
    if answer is None or answer.status is None:
        why = "" if answer is None or answer.error is None else f" ({answer.error})"
        return Finding(
            "no", f"The DELETE got no answer within 10 s{why}. The handler may ignore the method, and work once more."
        )
    took = f"{answer.elapsed * 1000:.0f} ms"
    if answer.status in (200, 202, 204):
        if answer.stopped:
            late = answer.elapsed > GRACE
            return Finding(
                "warn" if late else "yes",
                f"The DELETE was answered with {answer.status} and HTQ-Cancel: stopped, after {took}."
                + (f" htq waits {GRACE:.0f} s, and would not have heard it." if late else ""),
            )
        if answer.status == 202:
            return Finding("warn", f"The DELETE was answered with 202 after {took}: asked, and still stopping.")
        return Finding(
            "warn",
            f"The DELETE was answered with {answer.status} after {took}, without HTQ-Cancel: stopped. That proves nothing:"
            " a handler that ignores the method would say the same.",
        )
    meaning = _ANSWERS.get(answer.status, "htq counts that as a failure.")
    return Finding("no", f"The DELETE was answered with {answer.status}. {meaning}")


def _end(seen: Seen) -> Finding:
    if seen.ended is not None:
        how = f"with {seen.ended.status}" if seen.ended.status is not None else "by breaking off"
        return Finding("yes", f"The canceled request ended by itself, {how}, within the {GRACE:.0f} s of grace.")
    if seen.answer is not None and seen.answer.stopped:
        return Finding(
            "warn", "The service says that the work has stopped, yet the request stayed open. End it as well."
        )
    return Finding("no", f"The canceled request went on for {GRACE:.0f} s; then htq closes its connection.")


def _finer_points(seen: Seen) -> list[Finding]:
    findings = [
        Finding("yes", "A stop for another attempt of the task stopped nothing.")
        if seen.other_attempt is None
        else Finding("no", "A stop for another attempt of the task ended this one. Compare HTQ-Attempt, too.")
    ]
    if seen.tried_stranger:
        findings.append(
            Finding("yes", "A stop without the credentials of the request stopped nothing.")
            if seen.stranger is None
            else Finding(
                "no", "A stop without the credentials of the request ended it. Compare Authorization and Cookie."
            )
        )
    if seen.late is not None and seen.late.status == 409:
        findings.append(Finding("yes", "A request that came after its own cancel was refused with 409."))
    else:
        findings.append(
            Finding(
                "warn",
                "A request that came after its own cancel was run. It happens where requests wait in a backlog: remember a"
                " stop for a minute, and refuse what it names with 409.",
            )
        )
    return findings
