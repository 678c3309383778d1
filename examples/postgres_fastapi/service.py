"""Executes SQL that is posted to it, and stops executing when htq says so. FastAPI and asyncpg."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from htq.service import AsgiMiddleware, PostgresRegistry

DSN = os.environ.get("DATABASE_URL", "postgresql://localhost/example")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(DSN, min_size=1, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)
# The registry is for several processes: the one that hears of a cancel need not be the one that executes the statement.
app.add_middleware(AsgiMiddleware, registry=PostgresRegistry(DSN))


class Query(BaseModel):
    statement: str
    parameters: list[Any] = []


@app.post("/")
async def execute(query: Query) -> list[list[Any]]:
    # A cancel cancels this coroutine. asyncpg then cancels the statement, and the connection goes back to the pool once
    # PostgreSQL has said that it is over.
    async with app.state.pool.acquire() as connection:
        try:
            rows = await connection.fetch(query.statement, *query.parameters)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise HTTPException(400, str(error)) from error
    return [list(row) for row in rows]
