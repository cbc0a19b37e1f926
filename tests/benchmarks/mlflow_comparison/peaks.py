"""What a piece of Python costs in a process of its own: seconds, and memory at its peak."""

from __future__ import annotations

import json
import subprocess
import sys

_AROUND = """
import json, sys, time
start = time.perf_counter()
{code}
took = time.perf_counter() - start
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([took, int(peak) / 1024]))
"""
# getrusage would count what the parent had when it forked


def cost(code: str, *arguments: str) -> tuple[float, float]:
    """Run *code*, which finds the *arguments* in sys.argv; its seconds without Python's start, and its MB."""
    command = [sys.executable, "-c", _AROUND.format(code=code), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603, our own
    seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes
