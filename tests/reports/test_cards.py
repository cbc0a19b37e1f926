from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from registry.dossier import Dossier
from registry.evidence import Measured
from registry.ledger import Proposal, Stamp, following
from registry.policy import Better, PromotionPolicy
from registry.reports import decision_card, footer, model_card, page, timeline, timeline_card
from registry.reports.course import Course
from registry.tables import WHOLE, DatasetRecord, Evaluation, Metric, ModelTag, ModelVersion
from registry.words import NOTHING
from tests.reports.test_health_reports import calm, fallen
from tests.reports.test_reports import (
    BLUE,
    FORBIDDEN,
    GREEN,
    HOSTILE,
    cells,
    decision,
    drawn_in,
    found,
    ledger,
    one_check,
    paired,
    picture_in,
    pixels,
    promoted,
    read,
    slices,
    undecided,
)

if TYPE_CHECKING:
    from registry.policy import PromotionDecision
    from registry.tables import LedgerEntry

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "650a09a6-aac8-4cb3-8783-866aa78b0ae1"
MANUAL = PromotionPolicy(checks=(Better("roc_auc"),), approval="manual")


def version(**facts: Any) -> ModelVersion:
    given: dict[str, Any] = {
        "model": "flight-delay",
        "number": 7,
        "training": "a" * 64,
        "fitted": "b" * 64,
        "artifact": "c" * 64,
        "artifact_bytes": 756_513,
        "serialization": "skops",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "trained_on": "1" * 64,
        "params": {"C": 0.5, "penalty": "l2"},
        "input_schema": [{"name": "wind", "dtype": "float64"}, {"name": "origin", "dtype": "category"}],
        "input_example": {},
        "environment": {"python": "3.11.7", "scikit-learn": "1.9.1"},
        "git_commit": "2b3cf4b",
        "git_dirty": True,
        "flow_run_id": RUN,
        "registered_by": "ada",
        "registered_at": MOMENT,
        **facts,
    }
    return ModelVersion(**given)


def dataset(digit: str, name: str = "february", **facts: Any) -> DatasetRecord:
    given: dict[str, Any] = {"target": "late", "rows": 26_971, "columns": [], "source": "s3://b/x.parquet"}
    return DatasetRecord(fingerprint=digit * 64, name=name, **{**given, **facts})


def evaluation(digit: str, values: dict[str, dict[str, float]], rows: int = 21_345) -> Evaluation:
    key: dict[str, Any] = {"model": "flight-delay", "number": 7, "dataset": digit * 64}
    metrics = [
        Metric(**key, slice=part, name=name, value=value, rows=rows if part == WHOLE else 7_115)
        for part, measured in values.items()
        for name, value in measured.items()
    ]
    return Evaluation(
        **key, rows=rows, predictions="d" * 64, evaluated_by="ada", evaluated_at=MOMENT, measurements=metrics
    )


def dossier(**facts: Any) -> Dossier:
    given: dict[str, Any] = {
        "version": version(),
        "aliases": {},
        "quarantined": [],
        "datasets": {
            "1" * 64: dataset("1", "january"),
            "2" * 64: dataset("2"),
            "3" * 64: dataset("3", "march"),
        },
        "evaluations": [],
        "entries": [],
        "health": [],
        **facts,
    }
    return Dossier(**given)


MEASURED = [
    evaluation("2", {WHOLE: {"roc_auc": 0.72, "accuracy": 0.81}}),
    evaluation(
        "3",
        {
            WHOLE: {"roc_auc": 0.74, "accuracy": 0.83},
            "origin=JFK": {"roc_auc": 0.76, "accuracy": 0.80},
            "origin=EWR": {"roc_auc": 0.71},
        },
    ),
]
BOUNDS = {
    ("3" * 64, "roc_auc"): Measured(
        metric="roc_auc", slice=WHOLE, rows=21_345, challenger=0.74, lower=0.735, upper=0.745, method="DeLong"
    )
}


def judged(*verdicts: PromotionDecision, kinds: dict[int, str] | None = None) -> list[LedgerEntry]:
    """The ledger after these decisions were written down."""
    entries: list[LedgerEntry] = []
    for n, each in enumerate(verdicts):
        kind = (kinds or {}).get(n) or {"promote": "promoted", "reject": "rejected"}.get(each.verdict, "held")
        proposal = Proposal(
            kind=kind,
            model="flight-delay",
            version=int(each.reference.selector),
            reason="; ".join(each.reasons) or "for a reason",
            evidence=each.model_dump(mode="json"),
        )
        entries.append(following(entries[-1] if entries else None, proposal, stamp(n)))
    return entries


def stamp(day: int, actor: str = "ada", run: str | None = None) -> Stamp:
    return Stamp(actor=actor, at=datetime(2013, 2, 1, tzinfo=UTC) + timedelta(days=day), flow_run_id=run)


def answer(kind: str, by: str = "", comment: str = "") -> LedgerEntry:
    """What became of a decision to promote version 7."""
    signed = {"approval": {"by": by, "comment": comment}} if by else {}
    proposal = Proposal(
        kind=kind,
        model="flight-delay",
        version=7,
        reason=comment or "nobody answered",
        evidence=asking().model_dump(mode="json") | signed,
    )
    return following(None, proposal, stamp(0))


def asking() -> PromotionDecision:
    return promoted().model_copy(update={"policy": MANUAL})


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table of the card."""
    return [cells(f"{part}\n") for part in card.split("\n\n") if part.startswith("|")]


def facts(card: str) -> dict[str, str]:
    """What the tables of two columns say."""
    return {row[0]: row[1] for rows in tables(card) for row in rows[1:] if len(row) == 2}


# The card of a version


def test_a_model_card_says_first_what_the_version_is_in_force_as_and_since_when() -> None:
    entries = ledger(("promoted", 5), ("promoted", 7), ("held", 8))
    card = model_card(dossier(aliases={"champion": 7}, entries=entries[1:2]))

    assert card.startswith("## flight-delay@7: in force as champion since 2013-02-02 00:00 UTC\n")


@pytest.mark.parametrize(
    ("moves", "quarantined", "standing"),
    [
        ([("held", 7)], [], "held as champion on 2013-02-01 00:00 UTC"),
        ([("rejected", 7)], [], "rejected as champion on 2013-02-01 00:00 UTC"),
        ([("approved", 7)], [], "approved as champion on 2013-02-01 00:00 UTC, and not promoted yet"),
        ([("promoted", 7), ("promoted", 8)], [], "no longer champion since 2013-02-02 00:00 UTC"),
        (
            [("promoted", 5), ("promoted", 7), ("rolled-back", 5)],
            ["champion"],
            "quarantined as champion since 2013-02-03 00:00 UTC",
        ),
        ([], [], "nothing was decided about it yet"),
    ],
)
def test_a_version_that_is_not_in_force_says_why(
    moves: list[tuple[str, int]], quarantined: list[str], standing: str
) -> None:
    entries = [entry for entry in ledger(*moves) if 7 in {entry.version, entry.replaced}]
    card = model_card(dossier(entries=entries, quarantined=quarantined))

    assert card.startswith(f"## flight-delay@7: {standing}\n")


def test_a_model_card_says_what_the_version_is_and_where_it_comes_from() -> None:
    said = facts(model_card(dossier()))

    assert said["Estimator"] == "sklearn.linear_model.LogisticRegression"
    assert said["Parameters"] == "C = 0.5, penalty = 'l2'"
    assert said["From 2 columns"] == "wind: float64, origin: category"
    assert said["Predicts"] == "late"
    assert said["Artifact"] == "756,513 bytes, skops"
    assert said["SHA-256"] == "c" * 64
    assert said["Trained on"] == "january, 26,971 rows, from s3://b/x.parquet"
    assert said["Its fingerprint"] == "1" * 64
    assert said["Commit"] == "2b3cf4b, with local changes"
    assert said["Made with"] == "python 3.11.7, scikit-learn 1.9.1"
    assert said["Registered"] == "2026-03-01 12:00 UTC by ada"
    assert said["Flow run"] == RUN
    assert "Tags" not in said


def test_a_model_card_lists_the_tags() -> None:
    tags = [
        ModelTag(model="flight-delay", key=f"k{n}", value="*" * n, set_by="ada", set_at=stamp(0).at)
        for n in (1, 99)
    ]

    assert facts(model_card(dossier(tags=tags)))["Tags"] == f"k1 = *, k99 = {'*' * 59}…"


def test_metrics_are_listed_with_their_intervals_the_newest_dataset_first() -> None:
    card = model_card(dossier(evaluations=MEASURED, bounds=BOUNDS))

    assert tables(card)[0] == [
        ["Dataset", "Rows", "Metric", "Value", "Interval"],
        ["march", "21,345", "roc_auc", "0.7400", "0.7350 … 0.7450"],
        ["march", "21,345", "accuracy", "0.8300", NOTHING],
        ["february", "21,345", "roc_auc", "0.7200", NOTHING],
        ["february", "21,345", "accuracy", "0.8100", NOTHING],
    ]
    assert "Each one-sided bound has a confidence of 95 %" in card


def test_slices_are_listed_the_worst_first_and_one_without_a_metric_has_a_dash() -> None:
    assert tables(model_card(dossier(evaluations=MEASURED)))[1] == [
        ["Slice", "Rows", "roc_auc", "accuracy"],
        ["origin=EWR", "7,115", "0.7100", NOTHING],
        ["origin=JFK", "7,115", "0.7600", "0.8000"],
    ]


def test_metrics_on_the_training_data_are_named_as_what_they_are() -> None:
    card = model_card(dossier(evaluations=[evaluation("1", {WHOLE: {"roc_auc": 0.99}})]))

    assert tables(card)[0][1][0] == "january, which it was trained on"
    assert "proves nothing on it" in card


def test_the_metrics_are_drawn_where_there_is_something_to_compare() -> None:
    single = dossier(evaluations=[evaluation("2", {WHOLE: {"roc_auc": 0.72}})])

    assert "data:image" not in model_card(single)
    png = picture_in(model_card(dossier(evaluations=MEASURED, bounds=BOUNDS)))
    assert pixels(png).shape[1] == 1600
    assert drawn_in(BLUE, png).any()
    assert not drawn_in(GREEN, png).any()  # nobody judged them


def test_an_interval_is_drawn_only_where_it_is_known() -> None:
    open_, known = (
        picture_in(model_card(dossier(evaluations=MEASURED, bounds=bounds))) for bounds in ({}, BOUNDS)
    )

    assert drawn_in(BLUE, known).sum() > drawn_in(BLUE, open_).sum() + 300


def test_a_version_that_nobody_evaluated_has_a_card_that_says_how_to() -> None:
    card = model_card(dossier())

    assert "It was not evaluated yet: `registry evaluate flight-delay@7 --data HOLDOUT`." in card
    assert "data:image" not in card
    assert "### What is held of it" not in card
    assert "### What was decided" not in card
    assert "confidence" not in card


def test_a_model_card_shows_how_to_load_the_version() -> None:
    blocks = [token.content for token in read(model_card(dossier())) if token.type == "fence"]

    assert len(blocks) == 2
    for block in blocks:
        compile(block, "card", "exec")
        assert 'registry.load("flight-delay@7")' in block


def test_the_ledger_of_a_version_names_who_did_what_and_why_the_newest_first() -> None:
    entries = ledger(("held", 7), ("promoted", 7), ("promoted", 8))
    rows = tables(model_card(dossier(entries=entries)))[-1]

    assert rows[0] == ["Entry", "When", "What", "By", "Why"]
    assert rows[1] == [
        "champion 3",
        "2013-02-03 00:00 UTC",
        "promoted @8, from @7",
        "ada",
        "promoted for a reason",
    ]
    assert [row[2] for row in rows[1:]] == ["promoted @8, from @7", "promoted @7", "held @7"]


def test_approvals_and_rejections_are_told_with_name_and_comment() -> None:
    entries = [answer("approved", "grace", "the slices look fine")]
    card = model_card(dossier(entries=entries))

    assert "- Approved by grace on 2013-02-01 00:00 UTC: the slices look fine" in card


def test_what_is_held_of_a_version_in_force_is_on_its_card() -> None:
    card = model_card(dossier(health=fallen().rows[-1:]))
    row = next(rows[1] for rows in tables(card) if rows[0][0] == "As")

    assert row[:2] == ["champion", "accuracy"]
    assert row[-1] == "✖ degraded"


def test_flow_runs_are_linked_where_their_addresses_are_known() -> None:
    proposal = Proposal(kind="assigned", model="flight-delay", version=7, reason="x")
    entries = [following(None, proposal, stamp(0, run=RUN))]
    known = model_card(dossier(entries=entries), {RUN: f"http://ui/v2/runs/flow-run/{RUN}"})
    unknown = model_card(dossier(entries=entries))

    links = [str(token.attrs["href"]) for token in read(known) if token.type == "link_open"]
    assert links == [f"http://ui/v2/runs/flow-run/{RUN}"] * 2
    assert not [token for token in read(unknown) if token.type == "link_open"]
    assert "| 650a09a6 |" in unknown


def test_a_link_leads_to_web_pages_only_and_its_address_ends_where_it_should() -> None:
    linked = footer(
        {
            "[a](b)": "http://ui/x) [y](http://evil",
            "code": "javascript:alert(1)",
            "file": "file:///etc/passwd",
        }
    )
    links = [str(token.attrs["href"]) for token in read(linked) if token.type == "link_open"]

    assert links == ["http://ui/x%29%20%5By%5D%28http://evil"]
    assert "javascript" not in linked
    assert "etc" not in linked
    assert footer({}) == ""


# The card of an alias


def test_a_timeline_card_says_who_is_in_force_since_when_then_draws_and_lists() -> None:
    card = timeline_card(ledger(("promoted", 1), ("promoted", 3), ("rolled-back", 1), ("held", 4)))

    assert card.startswith(
        "## flight-delay@champion: version 1 is in force since 2013-02-03 00:00 UTC\n\n![Who was"
    )
    assert [row[2] for row in tables(card)[0][1:]] == [
        "held @4",
        "rolled back @1, from @3",
        "promoted @3, from @1",
        "promoted @1",
    ]
    assert "There is nothing to roll back to" in card
    assert "Quarantined: @3" in card


@pytest.mark.parametrize(
    ("moves", "state"),
    [
        ([("held", 1)], "nothing was in force yet"),
        ([("promoted", 1), ("cleared", 1)], "nothing is in force since 2013-02-02 00:00 UTC"),
    ],
)
def test_an_alias_that_is_vacant_says_so(moves: list[tuple[str, int]], state: str) -> None:
    assert timeline_card(ledger(*moves)).startswith(f"## flight-delay@champion: {state}\n")


def test_the_version_that_a_rollback_would_go_to_is_named() -> None:
    assert "A rollback would go to version 3" in timeline_card(
        ledger(("promoted", 1), ("promoted", 3), ("promoted", 7))
    )


def test_before_the_first_decision_there_is_a_card_that_says_so() -> None:
    assert timeline_card([]) == "## Nothing was decided yet\n"


def test_the_metric_of_the_judged_versions_is_drawn_below_the_reigns() -> None:
    bare = ledger(("promoted", 7), ("held", 8))
    known = judged(promoted(), decision("inconclusive", [one_check()], challenger="flight-delay@8"))

    assert pixels(timeline(known)).shape[0] > pixels(timeline(bare)).shape[0] + 300
    course = Course.of(known, [])
    assert course is not None
    assert course.metric == "roc_auc"
    assert course.challengers == {"promoted": [(1, 0.73562)], "held": [(2, pytest.approx(0.7032))]}
    assert course.champions == [(1, 0.7213), (2, 0.7)]
    assert Course.of(bare, []) is None


def test_an_approval_does_not_count_twice_what_its_decision_measured() -> None:
    course = Course.of(judged(asking(), asking(), kinds={0: "approved"}), [])

    assert course is not None
    assert course.challengers == {"promoted": [(2, 0.73562)]}


def test_the_metric_that_was_observed_is_drawn_where_it_was_observed() -> None:
    life = calm(4).move("promoted", 2).see(0.8, 2)
    course = Course.of(life.entries, life.rows)

    assert course is not None
    assert course.metric == "accuracy"
    assert [x for stretch in course.seen for x, _ in stretch] == pytest.approx(
        [1.2, 1.4, 1.6, 1.8, 2 + 1 / 3, 2 + 2 / 3]
    )
    assert [len(stretch) for stretch in course.seen] == [4, 2]
    assert timeline(life.entries, life.rows) != timeline(life.entries)


def test_one_absurd_value_does_not_make_a_line_of_the_others() -> None:
    life = calm(20)
    life.rows[-1].value = -1e9
    course = Course.of(life.entries, life.rows)

    assert course is not None
    assert course.limits[0] > 0
    assert pixels(timeline(life.entries, life.rows)).shape[1] == 1600


# Decisions that a person has to agree with


def test_a_decision_that_waits_for_a_person_does_not_say_that_it_promoted() -> None:
    card = decision_card(asking())

    assert card.startswith(
        "## Waits for approval: flight-delay@7 passed, flight-delay@5 stays champion until somebody agrees\n"
    )
    assert "The policy asks for a person's approval; nothing moves without it." in card


@pytest.mark.parametrize(
    ("given", "headline", "line"),
    [
        (
            answer("approved", "grace", "looks fine"),
            "Promoted: flight-delay@7 takes champion from flight-delay@5",
            "Approved by grace on 2013-02-01 00:00 UTC: looks fine",
        ),
        (
            answer("rejected", "grace", "not on a Friday"),
            "Rejected: flight-delay@5 stays champion, though flight-delay@7 passed",
            "Rejected by grace on 2013-02-01 00:00 UTC: not on a Friday",
        ),
        (
            answer("held"),
            "Held: flight-delay@5 stays champion, though flight-delay@7 passed",
            "Held on 2013-02-01 00:00 UTC: nobody answered",
        ),
    ],
)
def test_an_answered_decision_says_who_answered_what(given: LedgerEntry, headline: str, line: str) -> None:
    card = decision_card(asking(), given)

    assert card.startswith(f"## {headline}\n\n{line}\n")
    assert "The policy asks" not in card


def test_a_decision_that_needs_nobody_mentions_nobody() -> None:
    (entry,) = judged(promoted())

    assert decision_card(promoted(), entry) == decision_card(promoted())
    assert "pprov" not in decision_card(promoted())
    assert "pprov" not in decision_card(
        undecided("12 rows decide nothing").model_copy(update={"policy": MANUAL})
    )


# One file


class Page(HTMLParser):
    """The elements of a document, and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_the_cards_and_nothing_from_elsewhere() -> None:
    made = dossier(evaluations=MEASURED, bounds=BOUNDS)
    html = page("flight-delay@7", "as of today", [model_card(made), decision_card(promoted())])
    parsed = Page(html)
    tags = {tag for tag, _ in parsed.elements}

    assert html.startswith("<!DOCTYPE html>")
    assert "<title>flight-delay@7</title>" in html
    assert tags.isdisjoint({"script", "link", "iframe", "object", "form", "a", "base"})
    assert {"table", "pre", "h1", "h2", "h3", "article"} <= tags
    images = [attributes for tag, attributes in parsed.elements if tag == "img"]
    assert [image["alt"] for image in images] == [
        "Metrics of flight-delay@7",
        "What the checks of flight-delay@7 measured",
    ]
    for image in images:
        assert str(image["src"]).startswith("data:image/png;base64,iVBOR")
        b64decode(str(image["src"]).partition(",")[2], validate=True)
    assert not any("style" in attributes for _, attributes in parsed.elements)
    assert any(attributes.get("class") == "right" for _, attributes in parsed.elements)


def test_a_page_forbids_its_browser_to_fetch_or_run_anything() -> None:
    html = page("x", "", [])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)

    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "card",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](http://example.com)",
        "<http://example.com>",
        "[x](data:image/png;base64,AAAA)",
        "![x](http://example.com/p.png)",
        "![x](data:image/svg+xml;base64,AAAA)",
        "![x](data:text/html;base64,AAAA)",
        "| a |\n| --- |\n| <b onclick=x> |",
    ],
)
def test_nothing_in_a_card_becomes_a_script_a_link_or_a_picture_from_elsewhere(card: str) -> None:
    elements = Page(page("x", "", [card])).elements

    assert {tag for tag, _ in elements}.isdisjoint({"script", "img", "a", "b"})
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)


def test_a_title_from_outside_is_text() -> None:
    parsed = Page(page("</title><script>x</script>", "<b>", []))

    assert {tag for tag, _ in parsed.elements}.isdisjoint({"script", "b"})


# Text from outside, and much of it


@cache
def hostile(text: str) -> list[str]:
    """Every card, with the text wherever it may come from."""
    measured = evaluation("2", {WHOLE: {text: 0.7}, f"{text}={text}": {text: 0.6}})
    proposal = Proposal(
        kind="approved",
        model="flight-delay",
        version=7,
        reason="x",
        evidence={"approval": {"by": text, "comment": text}},
    )
    entries = [following(None, proposal, stamp(0, actor=text, run=text))]
    entries[0].reason = text
    said = dossier(
        version=version(
            estimator=text,
            serialization=text,
            params={text: text},
            input_schema=[{"name": text, "dtype": text}],
            environment={text: text},
            git_commit=text,
            flow_run_id=text,
            registered_by=text,
        ),
        datasets={digit * 64: dataset(digit, text, target=text, source=text) for digit in "12"},
        evaluations=[measured],
        entries=entries,
    )
    answered = entries[0]
    return [model_card(said), timeline_card(entries), decision_card(asking(), answered)]


def shape(card: str) -> list[str]:
    return [token.type for token in read(card)]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_stays_text_in_every_card_and_on_the_page(text: str) -> None:
    harmless, dangerous = hostile("name"), hostile(text)

    for calm_, wild in zip(harmless, dangerous, strict=True):
        assert shape(calm_) == shape(wild)
        assert FORBIDDEN.isdisjoint(set(shape(wild)) - {"fence"})
    parsed = Page(page("x", "", dangerous))
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in Page(page("x", "", harmless)).elements]


@pytest.mark.long
def test_the_largest_cards_stay_below_a_megabyte() -> None:
    long = "|<&" * 1000
    parts = {f"{long}{n}": {"roc_auc": 0.5 + n / 1000, "accuracy": 0.5} for n in range(300)}
    measured = evaluation("2", {WHOLE: {"roc_auc": 0.7, "accuracy": 0.8}, **parts})
    worst = decision("reject", slices([f"{long}={n}" for n in range(300)], "failed"), reasons=[long] * 300)
    evidence = worst.model_dump(mode="json") | {"approval": {"by": long, "comment": long}}
    entries: list[LedgerEntry] = []
    for n in range(5_000):
        kind, number = ("promoted", n + 1) if n % 3 else ("rejected", 7)
        proposal = Proposal(kind=kind, model="flight-delay", version=number, reason=long, evidence=evidence)
        entries.append(quick(entries[-1] if entries else None, proposal, n))
    said = dossier(
        version=version(params={f"{long}{n}": long for n in range(300)}, estimator=long),
        datasets={digit * 64: dataset(digit, long) for digit in "12"},
        evaluations=[measured] * 50,
        entries=entries,
    )
    runs = {RUN: f"http://ui/{long}"}
    for card in (
        model_card(said, runs),
        timeline_card(entries, calm(1000).rows, runs),
        decision_card(worst, entries[-1]),
    ):
        assert len(card.encode()) < 1_000_000
    assert len(tables(model_card(said))[0]) == 1 + 12 * 2
    assert "These are the newest 20 of 5,000 decisions." in timeline_card(entries)


def quick(newest: LedgerEntry | None, proposal: Proposal, day: int) -> LedgerEntry:
    """The next entry, whose hash nobody asks for."""
    small = following(newest, replace(proposal, evidence={}), stamp(day, run=RUN))
    small.evidence = proposal.evidence
    return small


def test_a_result_of_a_check_on_one_slice_is_no_metric_of_the_version() -> None:
    only = found("x", "passed", 0, paired("roc_auc", 0.7, (0.1, 0.2, 0.3), slice="origin=JFK"))

    assert Course.of(judged(decision("promote", [only])), []) is None
