"""What a command's exit code says."""

from typing import Final

__all__ = ["CANCELED", "FAILED", "INTERRUPTED", "MEANINGS", "NOT_FOUND", "NOT_YET", "OK", "UNAVAILABLE", "USAGE"]

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
CANCELED: Final = 4
NOT_YET: Final = 5
UNAVAILABLE: Final = 69
"""EX_UNAVAILABLE of sysexits.h."""
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "Done; a server or worker was stopped in order.",
    FAILED: "The request ended in `error` or `timeout`, or was refused; a server or worker could not start or go on.",
    USAGE: "An argument, a flag or a setting can't be taken.",
    NOT_FOUND: "There is no such request, queue, group or schedule, or no response any more.",
    CANCELED: "The request was canceled.",
    NOT_YET: "The request has not ended within the time given.",
    UNAVAILABLE: "The server can't be reached, or its store is away.",
    INTERRUPTED: "Control-C, in a command that is no server or worker.",
}
