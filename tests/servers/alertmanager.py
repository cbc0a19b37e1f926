"""A real Prometheus Alertmanager that posts to one webhook, from Debian's package."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.servers.process import ServerFailedError, free_ports, run, running, within_reach, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "prometheus-alertmanager"
PROGRAMS = (PACKAGE, "alertmanager")
TEMPLATES = b"/usr/share/prometheus/alertmanager"
TEMPLATES_IN_FOLDER = b"usr//share/prometheus/alertmanager"  # as long, and relative to where it runs


@dataclass(frozen=True)
class Alertmanager:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def receive(self, *alerts: dict[str, dict[str, str]]) -> None:
        """Hand in alerts, as Prometheus does; each has ``labels`` and may have ``annotations``."""
        httpx.post(f"{self.url}/api/v2/alerts", json=alerts).raise_for_status()

    def counted(self, metric: str) -> int:
        """How often something happened to its requests, such as ``notifications_failed``."""
        line = f'alertmanager_{metric}_total{{integration="webhook"}} '
        [value] = [
            text.removeprefix(line)
            for text in httpx.get(f"{self.url}/metrics").text.splitlines()
            if text.startswith(line)
        ]
        return int(value)

    def answers(self) -> bool:
        """Tell whether the server takes alerts."""
        try:
            return httpx.get(f"{self.url}/-/ready").is_success
        except httpx.TransportError:
            return False


@contextmanager
def alertmanager(webhook: str, secret: str, *, cache: Path) -> Iterator[Alertmanager]:
    """Run a server that posts each alert to *webhook* within a second, and again three seconds later.

    Args:
        webhook: The URL.
        secret: The bearer token that it shows there.
        cache: Where a downloaded package stays for the next time.
    """
    [port] = free_ports(1)
    server = Alertmanager(port)
    with workspace() as folder:
        program = _program(folder, cache)
        (folder / "config.json").write_text(json.dumps(_configuration(webhook, secret)))
        command: list[str | Path] = [
            program,
            f"--config.file={folder}/config.json",  # JSON is YAML
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        with running(command, folder=folder, ready=server.answers, stop=SIGTERM):
            yield server


def _configuration(webhook: str, secret: str) -> dict[str, Any]:
    post = {"url": webhook, "http_config": {"authorization": {"credentials": secret}}}
    return {
        "route": {
            "receiver": "registry",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "2s",
        },
        "receivers": [{"name": "registry", "webhook_configs": [post]}],
    }


def _program(folder: Path, cache: Path) -> Path:
    """The installed program, or else Debian's, which need not be installed to run."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return within_reach(Path(found), tree=[Path(found)], folder=folder)
    package = cache / f"{PACKAGE}.deb"
    if not package.exists():
        _download(package)
    return _unpacked(package, folder)


def _download(package: Path) -> None:
    with workspace() as folder:
        try:
            run(["apt-get", "download", PACKAGE], folder=folder)
        except (OSError, ServerFailedError) as error:
            pytest.skip(f"there is no Alertmanager, and none can be downloaded: {error}")
        [downloaded] = folder.glob("*.deb")
        copy = shutil.copy(downloaded, package.with_suffix(f".{os.getpid()}"))
        Path(copy).rename(package)  # whole, though other test runs may be looking


def _unpacked(package: Path, folder: Path) -> Path:
    """Debian's build reads its templates from a fixed path; here from the same one below *folder*."""
    run(["dpkg-deb", "-x", shutil.copy(package, folder), folder], folder=folder)
    program = folder / "usr/bin" / PACKAGE
    program.write_bytes(program.read_bytes().replace(TEMPLATES, TEMPLATES_IN_FOLDER))
    return program
