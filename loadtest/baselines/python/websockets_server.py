"""Broadcast with the `websockets` library on uvloop, one process.

`websockets_server.py PORT WAY`: the way is how a message goes to all connections.
  broadcast   websockets.broadcast(), as its documentation advises
  sequential  `for ws in connections: await ws.send(message)`, as classic tutorials have it
  gathered    `asyncio.gather` over the sends, as the others have it
"""

import argparse
import asyncio
import contextlib

import uvloop
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

CONNECTIONS = set()


async def by_broadcast(message):
    broadcast(CONNECTIONS, message)


async def sequential(message):
    for websocket in list(CONNECTIONS):
        with contextlib.suppress(ConnectionClosed):
            await websocket.send(message)


async def gathered(message):
    sends = (websocket.send(message) for websocket in CONNECTIONS)
    await asyncio.gather(*sends, return_exceptions=True)


WAYS = {"broadcast": by_broadcast, "sequential": sequential, "gathered": gathered}


def handler(send_to_all):
    async def handle(websocket):
        if websocket.request.path == "/echo":
            async for message in websocket:
                await websocket.send(message)
            return
        CONNECTIONS.add(websocket)
        try:
            async for message in websocket:
                await send_to_all(message)
        finally:
            CONNECTIONS.discard(websocket)

    return handle


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("port", type=int)
    arguments.add_argument("way", choices=WAYS)
    arguments = arguments.parse_args()
    handle = handler(WAYS[arguments.way])
    # The backlog, so that a herd of connections isn't dropped by the kernel; no compression, since nobody else compresses.
    async with serve(handle, "127.0.0.1", arguments.port, compression=None, backlog=4096) as server:
        await server.serve_forever()


uvloop.run(main())
