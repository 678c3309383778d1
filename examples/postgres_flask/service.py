"""Executes SQL that is posted to it, and stops executing when htq says so. Flask and psycopg."""

import os

import psycopg
from flask import Flask, Response, jsonify, request

from htq.service import PostgresRegistry, WsgiMiddleware, canceled, on_cancel

DSN = os.environ.get("DATABASE_URL", "postgresql://localhost/example")

app = Flask(__name__)
# The registry is for several processes: the one that hears of a cancel need not be the one that executes the statement.
app.wsgi_app = WsgiMiddleware(app.wsgi_app, registry=PostgresRegistry(DSN))  # type: ignore[method-assign]


@app.post("/")
def execute() -> Response:
    query = request.get_json()
    try:
        with psycopg.connect(DSN) as connection:
            pid = connection.info.backend_pid
            with on_cancel(lambda: terminate(pid)):
                cursor = connection.execute(query["statement"], query.get("parameters"))
                rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        return Response(str(error), 499 if canceled() else 400, mimetype="text/plain")
    return jsonify(rows)


def terminate(pid: int) -> bool:
    """End the session that executes the statement, and say whether it is gone: PostgreSQL waits up to 800 ms for that.

    The session, not the statement: a cancel that comes just before the statement begins would find nothing to cancel.
    """
    with psycopg.connect(DSN, autocommit=True) as other:
        row = other.execute("SELECT pg_terminate_backend(%s, 800)", (pid,)).fetchone()
    return row is not None and bool(row[0])
