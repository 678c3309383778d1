"""Flask: threads, and a stream."""

import os
from collections.abc import Iterator

from flask import Flask, Response

from htq.service import WsgiMiddleware, canceled, on_cancel
from service.apps.common import connect_to_witness, registry

app = Flask(__name__)
app.wsgi_app = WsgiMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, registry=registry(), stop_on_disconnect=bool(os.environ.get("STOP_ON_DISCONNECT"))
)


@app.get("/pid")
def pid() -> str:
    return str(os.getpid())


@app.post("/thread")
def thread() -> str:
    """Has no idea of cancels."""
    with connect_to_witness("thread") as witness:
        witness.recv(1)
    return "done"


@app.post("/callback")
def callback() -> str:
    with connect_to_witness("callback") as witness:

        def stop() -> bool:
            witness.shutdown(2)
            return True

        with on_cancel(stop):
            witness.recv(1)
    return "done"


@app.post("/looks")
def looks() -> str:
    with connect_to_witness("looks") as witness:
        witness.settimeout(0.01)
        while not canceled():
            try:
                witness.recv(1)
                break
            except TimeoutError:
                continue
    return "done"


@app.post("/stream")
def stream() -> Response:
    def parts() -> Iterator[bytes]:
        with connect_to_witness("stream") as witness:
            witness.settimeout(0.01)
            while True:
                yield b"part\n"
                try:
                    witness.recv(1)
                    break
                except TimeoutError:
                    continue

    return Response(parts(), mimetype="text/plain")
