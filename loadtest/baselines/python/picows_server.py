"""Broadcast with picows, whose frames are handled in Cython, on uvloop, one process."""

import asyncio
import sys

import uvloop
from picows import WSCloseCode, WSListener, WSMsgType, ws_create_server

TRANSPORTS = set()


class Broadcast(WSListener):
    def on_ws_connected(self, transport):
        TRANSPORTS.add(transport)

    def on_ws_disconnected(self, transport):
        TRANSPORTS.discard(transport)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code() or WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            payload = frame.get_payload_as_bytes()
            for other in TRANSPORTS:
                other.send(frame.msg_type, payload)


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code() or WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


def listener(request):
    return Echo() if request.path == b"/echo" else Broadcast()


async def main():
    server = await ws_create_server(listener, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


uvloop.run(main())
