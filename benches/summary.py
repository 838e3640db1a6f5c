#!/usr/bin/env python3
"""Says what the benchmarks of this run cost, and how that differs from the last run.

    summary.py SINCE

Reads what criterion left under target/criterion since the file SINCE was written, compares it with target/bench-last.json,
and keeps it there for the next run. What is compared is the fastest sample of each benchmark: others who use the machine
only ever add to a time. Even so, a difference below a tenth says nothing.
"""

import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).resolve().parent.parent / "target"
LAST = TARGET / "bench-last.json"
NOTABLE = 0.10
# A median so much above the fastest sample: somebody else had the machine.
BUSY = 1.25
UNITS = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")]


def shown(ns):
    factor, unit = next(((f, u) for f, u in UNITS if ns >= f), UNITS[-1])
    return f"{ns / factor:.3g} {unit}"


def results(since):
    found = {}
    for path in sorted(TARGET.glob("criterion/**/new/sample.json")):
        if path.stat().st_mtime < since:
            continue
        name = json.loads(path.with_name("benchmark.json").read_text())["full_id"]
        sample = json.loads(path.read_text())
        times = sorted(time / iters for iters, time in zip(sample["iters"], sample["times"]))
        found[name] = {"fastest": times[0], "median": times[len(times) // 2]}
    return found


def verdict(now, before):
    if before is None:
        return "new"
    change = now["fastest"] / before["fastest"] - 1
    if abs(change) < NOTABLE:
        return f"{change:+.0%}"
    return f"{change:+.0%}  {'slower' if change > 0 else 'faster'}{'?' if busy(now) or busy(before) else ''}"


def busy(times):
    return times["median"] > BUSY * times["fastest"]


def main():
    now = results(pathlib.Path(sys.argv[1]).stat().st_mtime)
    if not now:
        sys.exit("no benchmark has run")
    last = json.loads(LAST.read_text()) if LAST.exists() else {}
    print(f"{'benchmark':44} {'fastest':>10} {'median':>10}  against the last run")
    for name, times in now.items():
        print(f"{name:44} {shown(times['fastest']):>10} {shown(times['median']):>10}  {verdict(times, last.get(name))}")
    # What didn't run this time keeps its last figure.
    LAST.write_text(json.dumps(last | now, indent=1))
    if any(map(busy, now.values())):
        print(f"\n{sum(map(busy, now.values()))} of {len(now)} ran while the machine was busy with other things (median far above the fastest).")
        print("A difference with a question mark wants another run.")


if __name__ == "__main__":
    main()
