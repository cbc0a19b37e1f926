"""A real Chromium without a screen, which opens the Prefect UI as a person's browser does."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import pytest
from playwright.sync_api import Error, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Playwright, Response

PACKAGE = "chromium"
PROGRAMS = (PACKAGE, "google-chrome", "chromium-browser")
SECONDS_TO_SHOW = 15
ARGUMENTS = [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # only this machine
    "--disable-gpu",
    "--disable-software-rasterizer",  # to imitate a GPU takes as long as all the rest
]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """Somebody before a browser, who does one step after another.

    The steps run in a thread of their own: Playwright keeps an event loop going in the thread in which it
    was started, and Prefect, called from that thread, would take each call for one of asynchronous code.
    """

    page: Page
    hands: ThreadPoolExecutor
    pictures: Path
    refusals: list[str]

    def does(self, step: Callable[Concatenate[Page, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a step, a function of the page, to its end."""
        return self.hands.submit(step, self.page, *args, **kwargs).result()

    def keeps_picture(self, name: str) -> Path:
        """Keep what is on the screen as a PNG file of this name."""
        path = self.pictures / f"{name}.png"
        self.does(lambda page: page.screenshot(path=path, animations="disabled"))
        return path

    def keeps_whole_picture(self, name: str) -> None:
        """The same with what a longer screen would show."""
        path = self.pictures / f"{name}.png"
        self.does(lambda page: page.screenshot(path=path, animations="disabled", full_page=True))

    def testifies(self, name: str) -> str:
        """Keep a picture of this name; tell where it is, what the screen says and what the server refused."""
        try:
            return "\n".join([str(self.keeps_picture(name)), self.does(_read), *self.refusals])
        except Error as lost:
            return f"the browser is lost: {lost}"


@contextmanager
def person_at(ui: str, pictures: Path) -> Iterator[Person]:
    """Seat a person before a Chromium that shows the server at the URL *ui*, and knows no other machine."""
    program = _program()
    pictures.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(1, "browser") as hands:
        driver = sync_playwright()
        playwright = hands.submit(driver.start).result()
        try:
            refusals: list[str] = []
            page = hands.submit(_open, playwright, program, ui, refusals).result()
            yield Person(page, hands, pictures, refusals)
        finally:
            hands.submit(playwright.stop).result()


def _open(playwright: Playwright, program: str, ui: str, refusals: list[str]) -> Page:
    browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
    page = browser.new_page(
        base_url=ui, viewport={"width": 1280, "height": 900}, timezone_id="UTC", reduced_motion="reduce"
    )
    page.on("response", lambda response: _note(response, refusals))
    page.set_default_timeout(SECONDS_TO_SHOW * 1000)
    expect.set_options(timeout=SECONDS_TO_SHOW * 1000)
    return page


def _note(response: Response, refusals: list[str]) -> None:
    if response.status >= HTTPStatus.BAD_REQUEST and "/api/" in response.url:
        refusals.append(f"{response.status} {response.url}: {response.text()[:500]}")


def _read(page: Page) -> str:
    parts = page.locator("main, [role=dialog]").all()
    return "\n".join([page.url, *(part.aria_snapshot() for part in parts)])


def _program() -> str:
    """The installed browser, or Debian's, which root installs; without any the tests fail in CI."""
    if found := _installed():
        return found
    problem = _install()
    if found := _installed():
        return found
    lack = f"NOBODY LOOKED AT THE PREFECT UI: there is no {PACKAGE}, and {problem}"
    return pytest.fail(lack) if os.environ.get("CI") else pytest.skip(lack)


def _installed() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _install() -> str:
    """Install Debian's package; tell what stood in the way, if anything did."""
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        return "only root can install it, from Debian or Ubuntu"
    said = ""
    for request in (["update"], ["install", "-y", "--no-install-recommends", PACKAGE]):
        done = subprocess.run(  # noqa: S603, the command is the tests' own
            [apt_get, "-o", "DPkg::Lock::Timeout=120", *request],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.strip()[-500:]
    return f"apt-get could not install it: {said}"
