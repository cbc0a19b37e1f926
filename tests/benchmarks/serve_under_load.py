"""What a request to the README's service waits for while the champion is exchanged under it.

Run it by ``python -m tests.benchmarks.serve_under_load``. It needs wrk, a load generator (Debian: ``apt-get
install wrk``). The service is asked in turn while nothing happens and while another version comes into force
twice a second; what counts is the ratio of the two, because the machine, the generator and the service share
their cores.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from registry import Champion, Registry
from tests.examples import make_dataset
from tests.servers.service import service
from tests.service import app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from fastapi import FastAPI

    from tests.servers.service import Service

__all__ = ["app"]

REFRESH = 0.1
PAUSE = 0.5
ROWS = 5
CONNECTIONS = 2
KINDS: dict[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: LogisticRegression(C=1 + seed),
    "forest of 100 trees": lambda seed: RandomForestClassifier(100, random_state=seed),
}
SCRIPT = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body}]==]\n'
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
Latency = dict[str, float]


@asynccontextmanager
async def _often(served: FastAPI) -> AsyncIterator[None]:
    with Champion("iris", refresh=REFRESH) as served.state.champion:
        yield


app.router.lifespan_context = _often


def measure(kind: str, seconds: int, rounds: int, folder: Path) -> dict[str, list[Latency]]:
    """Milliseconds that requests took, undisturbed and during swaps, as often as there are *rounds*."""
    registry = Registry(f"sqlite:///{folder}/registry.db", artifacts=folder / "artifacts", actor="ada")
    rows = make_dataset(rows=2_000)
    for seed in (1, 2):
        fitted = KINDS[kind](seed).fit(rows.features, rows.labels)
        registry.register("iris", fitted, trained_on=rows)
    registry.assign("iris@1", reason="the first")
    script = folder / "post.lua"
    script.write_text(SCRIPT.format(body=json.dumps(rows.features.head(ROWS).to_dict("records"))))
    place = {
        "MODEL_REGISTRY_DATABASE": registry.backend.rows.name,
        "MODEL_REGISTRY_ARTIFACTS": registry.backend.artifacts.location,
    }
    found: dict[str, list[Latency]] = {"undisturbed": [], "during swaps": []}
    with registry, service(folder, "tests.benchmarks.serve_under_load:app", **place) as running:
        load(running, script, 1)
        for _ in range(rounds):
            found["undisturbed"].append(load(running, script, seconds))
            with swapping(registry):
                found["during swaps"].append(load(running, script, seconds))
        if running.health()["error"] is not None:
            sys.exit(f"the service could not follow: {running.health()['error']}")
    return found


@contextmanager
def swapping(registry: Registry) -> Iterator[None]:
    """The two versions take turns for the length of the block."""
    ended = Event()

    def swap() -> None:
        while not ended.wait(PAUSE):
            other = 3 - registry.resolve("iris@champion").number
            registry.assign(f"iris@{other}", reason="its turn")

    thread = Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def load(running: Service, script: Path, seconds: int) -> Latency:
    """Ask as fast as answers come, over a few connections."""
    wrk = shutil.which("wrk") or sys.exit("wrk is not installed: apt-get install wrk")
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", f"-s{script}"]
    command = [wrk, *options, f"{running.url}/predict"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(said)
    parts = re.findall(r"^ +(\d+)% +([\d.]+)(us|ms|s)$", said, flags=re.MULTILINE)
    answered = re.search(r"Requests/sec: +([\d.]+)", said)
    latency = {f"p{part}": float(value) * _UNITS[unit] for part, value, unit in parts}
    return latency | {"per second": float(answered[1]) if answered else 0.0}


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="each time")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            found = measure(kind, given.seconds, given.rounds, Path(folder))
        for measured in ("p50", "p99", "per second"):
            quiet, busy = (median(each[measured] for each in found[when]) for when in found)
            print(f"{kind:20} {measured:>10} {quiet:9.2f} {busy:9.2f}   {busy / quiet:5.2f} x")  # noqa: T201


if __name__ == "__main__":
    main()
