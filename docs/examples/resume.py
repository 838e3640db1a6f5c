"""Follows a Ringway room, every message once and in order, through cuts: python resume.py ws://127.0.0.1:8080 lobby
With a file as third argument it writes there, and goes on where that ends when it is started again."""
import asyncio, json, random, re, sys, time
from urllib.parse import quote
from websockets import ConnectionClosed, WebSocketException, connect

async def follow(url, room, file=None):
    out = open(file, "a+") if file else sys.stdout
    lines = out.seek(0) or out.readlines() if file else []
    position = {key: json.loads(lines[-1])[key] for key in ("epoch", "offset", "ts")} if lines else None
    session, attempt = [], 0
    while True:
        began, patience, joined = time.monotonic(), 35, False
        try:
            async with connect(f"{url}/v1/ws?room={quote(room, safe='')}", subprotocols=["ringway.v1.json", *session]) as ws:
                await ws.send(json.dumps({"t": "join", "id": 1, "room": room, "since": position}))
                while (frame := json.loads(await asyncio.wait_for(ws.recv(), patience)))["t"] != "goaway":
                    if frame["t"] == "hello":
                        session, patience = [f"session.{frame['session']}"], frame["ping"] + 10
                    elif frame["t"] in ("err", "left"):
                        if "retry" not in frame:
                            sys.exit(f"refused: {frame['code']}")
                        raise TimeoutError(f"retry={frame['retry']}")
                    joined = joined or frame["t"] == "ok"  # what comes before the answer to our join comes again
                    place = frame.get("result", frame)  # a message's offset counts in the epoch that we are in
                    epoch = place.get("epoch", position and position["epoch"])
                    if joined and epoch and "offset" in place and frame["t"] in ("ok", "msg", "gap"):
                        position = {"epoch": epoch, "offset": place["offset"], "ts": place.get("ts")}
                    if joined and frame["t"] in ("ok", "msg", "gap"):
                        more = {key: place[key] for key in ("resumed", "reason", "user", "data") if key in place}
                        print(json.dumps({"t": frame["t"], **(position or {}), **more}), file=out, flush=True)
        except (OSError, TimeoutError, WebSocketException) as cut:
            code = cut.rcvd.code if isinstance(cut, ConnectionClosed) and cut.rcvd else 1006
            if code in (1000, 1002, 1003, 1007) or 4000 <= code < 4500:
                sys.exit(f"closed for good: {cut}")
            attempt = 0 if time.monotonic() - began > 30 else attempt
            hint = re.search(r"retry=(\d+)", str(cut))
            await asyncio.sleep(int(hint[1]) / 1000 if hint else random.uniform(0, min(20, 0.5 * 2**attempt)))
            attempt += 1

if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[1:4]))
