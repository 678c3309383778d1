"""`htq check-service URL`: does this service honor a cancel?

It runs a slow request against the service, cancels it as htq would, and says in plain words what the service did and did not
do. It talks to the service directly: no server, no store. What is checked is docs/service-contract.md.

    wire      one exchange with the service, watched while it lasts
    probe     what is tried, in which order: gives what was seen
    findings  what that means: pure
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run the check; 0 if the service honors a cancel, 1 if not, 2 if that could not be found out."""
    from htq.check_service.command import run

    return run(argv)
