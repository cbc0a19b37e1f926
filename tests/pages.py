"""What a person does in the Prefect UI, each step a function of the page; all is found by what it says."""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SECONDS_TO_RUN = 120
TIMES_TO_PRESS = 10
# A form takes over what was entered some milliseconds later, by the browser's clock; who is faster loses it.
MOMENT = "() => new Promise(resume => setTimeout(resume, 250))"
# The UI draws a card more than once, so its pictures are counted and measured in one moment.
WIDTHS = """() => {
    const pictures = [...document.querySelectorAll("[role=tabpanel] img[alt]")];
    const drawn = pictures.length > 0 && pictures.every(picture => picture.complete);
    return drawn && pictures.map(picture => [picture.alt, picture.naturalWidth]);
}"""


def list_deployments(page: Page) -> None:
    """Look at all deployments."""
    page.goto("/v2/deployments")
    expect(page.get_by_role("row").nth(1)).to_be_visible()


def open_run_form(page: Page, deployment: str) -> None:
    """Open the form with which a run of the deployment is started."""
    page.goto("/v2/deployments")
    page.get_by_placeholder("Search deployments").fill(deployment)
    expect(page).to_have_url(re.compile(f"={deployment}"))  # what is clicked earlier is lost
    page.get_by_role("link", name=deployment, exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_role("group").first).to_be_visible()  # the fields come after the headings


def offered(page: Page, field: str) -> list[str]:
    """Open the dropdown of a field and read what it offers; it stays open."""
    _dropdown(page, field).click()
    options = page.get_by_role("option")
    expect(options.first).to_be_visible()
    return options.all_inner_texts()


def choose(page: Page, field: str, option: str) -> None:
    """Choose an option from the dropdown of a field, which may be open."""
    choices = page.get_by_role("listbox")
    if not choices.is_visible():
        _dropdown(page, field).click()
    choices.get_by_role("option", name=option, exact=True).click()
    expect(choices).to_be_hidden()
    page.evaluate(MOMENT)


def write(page: Page, field: str, text: str) -> None:
    """Write into a field; of several with this name, as in a list, into the last."""
    page.get_by_label(_named(field)).last.fill(text)
    page.evaluate(MOMENT)


def add_item(page: Page) -> None:
    """Add an item to the form's last list."""
    items = page.get_by_role("button", name="Drag to reorder")
    before = items.count()
    page.get_by_role("button", name="Add item").last.click()
    expect(items).to_have_count(before + 1)


def choose_kind(page: Page, kind: str) -> None:
    """Choose what the item added last is to be."""
    tab = page.get_by_role("tab", name=kind, exact=True).last
    tab.click()
    page.evaluate(MOMENT)
    expect(tab).to_have_attribute("aria-selected", "true")


def submit(page: Page) -> str:
    """Start the run; gives its id.

    Raises:
        AssertionError: The form is still there, with what it complains about.
    """
    _press(page, page.get_by_role("button", name="Submit"), "/create_flow_run")
    link = page.get_by_role("link", name="View run")
    expect(link).to_be_visible()
    return str(link.get_attribute("href")).rpartition("/")[2]


def open_run(page: Page, run: str, state: str) -> None:
    """Look at a run once it is in the state; until then the UI would draw its progress all the time."""
    page.goto("about:blank")
    deadline = time.monotonic() + SECONDS_TO_RUN
    while (found := page.request.get(f"/api/flow_runs/{run}").json()["state"])["name"] != state:
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(500)
    page.goto(f"/v2/runs/flow-run/{run}")
    expect(page.get_by_role("main").get_by_text(state, exact=True).first).to_be_visible()


def open_resume_dialog(page: Page) -> str:
    """Ask to resume the paused run that is looked at; gives what the dialog says."""
    page.get_by_role("main").get_by_role("button", name="Open menu").first.click()
    page.get_by_role("menuitem", name="Resume").click()
    expect(_dialog(page).get_by_role("table")).to_be_visible()
    return _dialog(page).inner_text()


def resume(page: Page, answer: str) -> None:
    """Press the dialog's button, and wait until the UI gives this answer in the corner of the screen."""
    _press(page, _dialog(page).get_by_role("button", name="Resume"), "/resume")
    notices = page.get_by_role("region", name="Notifications").get_by_role("listitem")
    expect(notices.filter(has_text=answer)).to_be_visible()


def open_card(page: Page, key: str, says: str) -> None:
    """Look at the newest artifact of this key, until it says what it should."""
    page.goto(f"/v2/artifacts/key/{key}")
    page.get_by_role("main").locator("a[href*='/artifacts/artifact/']").first.click()
    expect(_card(page)).to_contain_text(says)


def widths_of_pictures(page: Page) -> dict[str, int]:
    """How wide each picture of the card really is in pixels, by its description; a broken one has 0."""
    return dict(page.wait_for_function(WIDTHS).json_value())


def _press(page: Page, button: Locator, request: str) -> None:
    """Press the button, and again while the server is busy: on SQLite it can't always write at once."""
    for _ in range(TIMES_TO_PRESS):
        with page.expect_response(lambda response: response.url.endswith(request)) as answer:
            button.click()
        if answer.value.status != HTTPStatus.SERVICE_UNAVAILABLE:
            break


def _card(page: Page) -> Locator:
    return page.get_by_role("tabpanel", name="Artifact")


def _dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Resume Flow Run")


def _dropdown(page: Page, field: str) -> Locator:
    return page.get_by_role("button", name=_named(f"Select {field}")).last


def _named(field: str) -> re.Pattern[str]:
    return re.compile(rf"^{re.escape(field)}( \(Optional\))?$")
