"""Streams tokens as a language model would, and stops producing them when htq says so. FastAPI, server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from htq.service import AsgiMiddleware

app = FastAPI()
app.add_middleware(AsgiMiddleware)


@dataclass
class Meter:
    """What the model has cost so far."""

    generating: int = 0
    tokens: int = 0


meter = Meter()


class Prompt(BaseModel):
    prompt: str
    max_tokens: int = 1000


async def model(prompt: str, max_tokens: int) -> AsyncIterator[str]:
    """Put your model here. This one repeats the prompt, 50 tokens a second."""
    words = prompt.split() or ["..."]
    meter.generating += 1
    try:
        for number in range(max_tokens):
            await asyncio.sleep(0.02)  # noqa: TID251
            meter.tokens += 1
            yield words[number % len(words)]
    finally:
        # A cancel comes by here, as the end does: here the model is told to stop, or its batch slot is given back.
        meter.generating -= 1


@app.post("/completions")
async def complete(prompt: Prompt) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        async for token in model(prompt.prompt, prompt.max_tokens):
            yield f"data: {json.dumps({'token': token})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/meter")
async def show_meter() -> dict[str, int]:
    return asdict(meter)
