"""The tour: what a newcomer should have seen. Every line that it shows really happened, a moment before it was shown."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from htq.demo.caller import Answer, Caller
from htq.demo.screen import Screen
from htq.demo.service import ExampleService, Seen
from htq.demo.system import THREADS
from htq.words.clock import Clock
from htq.words.errors import HtqError

__all__ = ["Beat", "Tour", "TourFailed"]

_STEP_WITHIN = 30.0
_POLL = 0.03
_SHOWN_HEADERS = ("HTQ-Task-Id", "HTQ-Attempt", "HTQ-Cancel")
_SHOWN_OF_RESPONSE = ("uuid", "status", "code", "reason", "elapsed", "data")

Beat = Callable[[], Awaitable[None]]
"""Gives the reader time at the end of a step."""


class TourFailed(HtqError):
    """The system did not do what the tour was about to show."""


class Tour:
    """Runs the steps one after another. `pace` stretches the service's work: 1 for people, less for tests."""

    def __init__(
        self, screen: Screen, caller: Caller, service: ExampleService, clock: Clock, *, pace: float, beat: Beat
    ) -> None:
        self._screen = screen
        self._caller = caller
        self._service = service
        self._clock = clock
        self._pace = pace
        self._beat = beat

    async def run(self) -> None:
        """All of it. Raises `TourFailed`, `OSError`."""
        self._welcome()
        await self._beat()
        steps = (self._queue_one, self._cancel_waiting, self._cancel_running, self._cancel_stubborn)
        for step in steps:
            try:
                async with asyncio.timeout(_STEP_WITHIN):
                    await step()
            except TimeoutError:
                raise TourFailed(f"this step did not come to its end within {_STEP_WITHIN:g} s") from None
            await self._beat()
        self._farewell()

    def _welcome(self) -> None:
        screen = self._screen
        screen.title("htq demo: a queue for slow HTTP requests that you can really cancel")
        screen.say(
            "Everything here runs on this machine, on free ports and in a temporary folder. It ends by itself and leaves "
            "nothing behind. All that you see happens while you watch; `htq demo --pause` waits after each step, so that you "
            "can try the commands yourself in another terminal."
        )
        screen.blank()
        screen.pair("the queue", f"{self._caller.url}/  `htq up`: server and worker, sending {THREADS} at a time")
        screen.pair("a service", f"{self._service.url}/  takes its time, as real ones do")

    async def _queue_one(self) -> None:
        screen = self._screen
        screen.step(1, "Queue a request, and fetch its response later")
        screen.say(
            "You don't call the slow service yourself: you give the request to the queue, and have an address at once."
        )
        seconds = self._seconds(2)
        uuid, answer = await self._queue(f"/report/{seconds:g}", {"month": "May"}, show=True)
        screen.output([answer.status_line, f"Location: {answer.headers['location']}"])
        screen.say("It is on disk now, and will be sent even if this machine crashes. Where does it stand?")
        screen.command(f"curl {self._url(uuid)}status/")
        await self._watch(uuid, until=("pending",))
        screen.say("The service is at work. The response's address answers as soon as there is one:")
        screen.command(f"curl {self._url(uuid)}response/")
        begun = self._clock.steady()
        response = (await self._caller.call("GET", f"/{uuid}/response/")).document()
        screen.status(response["status"], "it answered after so long:", seconds=self._clock.steady() - begun)
        screen.output(_pretty({key: response[key] for key in _SHOWN_OF_RESPONSE if key in response}))
        self._expect(response["status"] == "success", f"the response is {response}")

    async def _cancel_waiting(self) -> None:
        screen = self._screen
        screen.step(2, "Cancel one that waits: it is never sent")
        screen.say(f"Three more. The worker sends {THREADS} at a time here, so the third has to wait.")
        seconds = self._seconds(1.5)
        uuids = [(await self._queue(f"/report/{seconds:g}", {"number": number}))[0] for number in (1, 2, 3)]
        screen.blank()
        for uuid in uuids[:THREADS]:
            await self._service.until(uuid, "request")
        for uuid in uuids:
            screen.status(await self._status(uuid), self._url(uuid))
        await self._cancel(uuids[-1])
        for uuid in uuids[:THREADS]:
            await self._caller.call("GET", f"/{uuid}/response/")
        screen.label("a moment later")
        for uuid in uuids:
            was_sent = bool(self._service.seen(uuid))
            screen.status(
                await self._status(uuid), "answered by the service" if was_sent else "the service never saw it"
            )
        self._expect(not self._service.seen(uuids[-1]), "the canceled request was sent all the same")

    async def _cancel_running(self) -> None:
        screen = self._screen
        screen.step(3, "Cancel one that runs: the service is told, and stops")
        screen.say("This one would take half a minute. The service is already working on it.")
        uuid, answer = await self._queue("/report/30", {"month": "all of them"}, show=True)
        screen.output([answer.status_line])
        await self._service.until(uuid, "request")
        screen.blank()
        screen.status(await self._status(uuid), self._url(uuid))
        await self._cancel_at_work(uuid)
        screen.say(
            "The DELETE came to the address of the request while that was still open, with its id: so the service could find "
            "the work and stop it. `proof` says how we know."
        )

    async def _cancel_stubborn(self) -> None:
        screen = self._screen
        screen.step(4, "A service that was never taught to stop")
        screen.say(
            "Most services know nothing of this. The queue lets go of the request all the same, and does not pretend."
        )
        uuid, _ = await self._queue("/stubborn/30", {"month": "all of them"})
        await self._service.until(uuid, "request")
        await self._cancel_at_work(uuid)
        screen.say(
            "The connection is closed and the place in the queue is free; whether the work has ended, nobody can say."
        )

    def _farewell(self) -> None:
        screen = self._screen
        screen.step(5, "Your turn")
        screen.blank()
        screen.pair("htq up", "starts a queue that stays: on http://localhost:5000/, over a file of its own")
        screen.pair(
            "htq --help", "has the other commands: server and worker apart, a client, Redis in place of the file"
        )
        screen.pair(
            "htq.service", "is the library that makes your own service stop when it is told to: one line for most"
        )
        screen.blank()

    async def _queue(self, path: str, data: Any, *, show: bool = False) -> tuple[str, Answer]:
        """Queue a request to the service; its uuid, and the answer as it came."""
        document = {"url": self._service.url + path, "data": data}
        if show:
            self._screen.command(
                f"curl -i {self._caller.url}/",
                "-H 'Content-Type: application/json'",
                f"-d '{msgspec.json.encode(document).decode()}'",
            )
        answer = await self._caller.call("POST", "/", document)
        self._expect(answer.code == 303, f"POST / was answered with {answer.status_line}: {answer.body.decode()}")
        return answer.headers["location"].rstrip("/").rpartition("/")[2], answer

    async def _cancel(self, uuid: str) -> None:
        self._screen.command(f"curl -i -X DELETE {self._url(uuid)}")
        answer = await self._caller.call("DELETE", f"/{uuid}/")
        self._screen.output([answer.status_line])
        self._expect(answer.code == 204, f"the cancel was answered with {answer.body.decode()}")
        status = await self._status(uuid)
        self._expect(status == "canceled", f"the canceled request is {status}")

    async def _watch(self, uuid: str, until: Sequence[str]) -> None:
        """Show each status once, when it is first seen."""
        begun = self._clock.steady()
        last = ""
        while last not in until:
            status = await self._status(uuid)
            if status != last:
                self._screen.status(status, seconds=self._clock.steady() - begun)
                self._expect(status in ("queued", *until), f"the request is {status}")
                last = status
            else:
                await self._clock.sleep(_POLL)

    async def _status(self, uuid: str) -> str:
        status: str = (await self._caller.call("GET", f"/{uuid}/status/")).document()["status"]
        return status

    async def _cancel_at_work(self, uuid: str) -> None:
        """Cancel what the service has begun, and show all that came of it."""
        await self._clock.sleep(self._seconds(1.2))
        await self._cancel(uuid)
        await self._service.until(uuid, "closed")
        self._show_seen(uuid)
        await self._show_record(uuid)

    def _show_seen(self, uuid: str) -> None:
        """The service's own account of a request."""
        seen = self._service.seen(uuid)
        self._screen.label("on the wire, as the service saw it")
        for moment in seen:
            details = [f"{name}: {moment.headers[name]}" for name in _SHOWN_HEADERS if name in moment.headers]
            self._screen.event(moment.at - seen[0].at, _sentence(moment), details)

    async def _show_record(self, uuid: str) -> None:
        """The record of the cancel, once the DELETE is settled."""
        while True:
            record = (await self._caller.call("GET", f"/{uuid}/cancel/")).document()
            if record["delete"]["state"] != "owed":
                break
            await self._clock.sleep(_POLL)
        self._screen.command(f"curl {self._url(uuid)}cancel/")
        self._screen.output(_pretty(record))
        status = await self._status(uuid)
        self._expect(status == "canceled", f"the canceled request is {status}")

    def _url(self, uuid: str) -> str:
        return f"{self._caller.url}/{uuid}/"

    def _seconds(self, seconds: float) -> float:
        return round(seconds * self._pace, 2)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise TourFailed(otherwise)


def _sentence(seen: Seen) -> str:
    match seen.what:
        case "request":
            return f"{seen.line} arrives, and the work begins"
        case "cancel":
            return f"{seen.line} arrives" + (", while the POST is still open" if seen.while_open else "")
        case "stopped":
            return f"the work is stopped; the DELETE is answered {seen.line}"
        case "refused":
            return f"the service knows no DELETE there, and answers {seen.line}"
        case "answered":
            return f"the POST is answered {seen.line}"
        case "closed":
            return "htq closes the connection of the POST" + (", unanswered" if seen.while_open else "")


def _pretty(document: Any) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode().split("\n")
