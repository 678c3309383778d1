"""Django in one file, under WSGI and under ASGI."""

import os

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from htq.service import AsgiMiddleware, WsgiMiddleware, on_cancel
from service.apps.common import connect_to_witness, hold, registry

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="for tests", MIDDLEWARE=[])
django.setup(set_prefix=False)


def pid(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(os.getpid()))


def callback(request: HttpRequest) -> HttpResponse:
    with connect_to_witness("callback") as witness:

        def stop() -> bool:
            witness.shutdown(2)
            return True

        with on_cancel(stop):
            witness.recv(1)
    return HttpResponse("done")


def thread(request: HttpRequest) -> HttpResponse:
    """Has no idea of cancels."""
    with connect_to_witness("thread") as witness:
        witness.recv(1)
    return HttpResponse("done")


async def coroutine(request: HttpRequest) -> HttpResponse:
    await hold("coroutine")
    return HttpResponse("done")


urlpatterns = [
    path("pid", pid),
    path("callback", callback),
    path("thread", thread),
    path("coroutine", coroutine),
]
# The one server takes the one, the other the other; each has a registry of its own.
asgi = AsgiMiddleware(ASGIHandler(), registry=registry())
wsgi = WsgiMiddleware(WSGIHandler(), registry=registry())
