"""Broadcast with python-socketio, as an ASGI application on uvicorn with one worker.

`socketio_server.py PORT [REDIS_URL]`: with a URL, its AsyncRedisManager carries every event through Redis, as it does
where several processes serve.
"""

import sys

import socketio
import uvicorn

port = int(sys.argv[1])
manager = socketio.AsyncRedisManager(sys.argv[2]) if len(sys.argv) > 2 else None
sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager)


@sio.event
async def message(sid, data):
    await sio.emit("message", data)


@sio.event
async def echo(sid, data):
    await sio.emit("echo", data, to=sid)


# No compression, since nobody else compresses; no line a request. uvicorn takes uvloop and httptools by itself.
uvicorn.run(
    socketio.ASGIApp(sio),
    host="127.0.0.1",
    port=port,
    log_level="warning",
    access_log=False,
    ws_per_message_deflate=False,
    backlog=4096,
)
