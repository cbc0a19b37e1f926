"""Decisions and comparisons as Markdown: the verdict first, then why, the picture, the numbers.

A card shows text from outside, names of datasets and values of columns, and none of it can become a link, an
image, HTML or another cell. A card stays far below the megabyte that a Prefect artifact should not exceed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reports.forest import comparison_plot, forest_plot, rows_of
from registry.reports.ledger import answered
from registry.reports.lines import of_comparison, of_decision
from registry.reports.parts import picture, small_print, table
from registry.words import NOTHING, count, interval, markdown, number, short, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.evidence import Comparison
    from registry.policy import PromotionDecision
    from registry.reports.lines import Line, Selection
    from registry.tables import LedgerEntry

SIGNS = {
    "passed": "● passed",
    "failed": "✖ failed",
    "inconclusive": "◇ inconclusive",
    "skipped": f"{NOTHING} skipped",
}
_MOST_REASONS = 20
_LONGEST_REASON = 400
_FINGERPRINT = 12


def decision_card(decision: PromotionDecision, answer: LedgerEntry | None = None) -> str:
    """What *decision* says and why, as Markdown with the picture in it.

    Args:
        decision: What a policy made of a challenger.
        answer: The entry that says what became of a challenger that passed, if it is written: a person's
            approval or rejection, the promotion, or what held it all the same.
    """
    selection = of_decision(decision)
    parts = [f"## {_headline(decision, answer)}", *_agreement(decision, answer), _reasons(decision.reasons)]
    if any(line.measured for line in selection.shown):
        parts.append(picture(f"What the checks of {decision.challenger} measured", forest_plot(decision)))
    parts += _checks(selection)
    return "\n\n".join([*parts, "---", _decision_print(decision)]) + "\n"


def comparison_card(comparison: Comparison) -> str:
    """The numbers of *comparison*, as Markdown with the picture in it; nothing is decided."""
    challenger, champion = markdown(comparison.challenger), markdown(comparison.champion)
    selection = of_comparison(comparison)
    parts = [f"## {challenger} compared with {champion}"]
    if selection.shown:
        parts.append(table(_COMPARISON_COLUMNS, map(_comparison_cells, selection.shown)))
        alt = f"Differences between {comparison.challenger} and {comparison.champion}"
        parts += [selection.note] if selection.note else []
        parts.append(picture(alt, comparison_plot(comparison)))
    return "\n\n".join([*parts, "---", _comparison_print(comparison)]) + "\n"


def _checks(selection: Selection) -> list[str]:
    """The table of checks, and the note about those that are not in it, if there are any."""
    shown = table(_DECISION_COLUMNS, map(_decision_cells, selection.shown)) if selection.shown else ""
    return [part for part in (shown, selection.note) if part]


def _headline(decision: PromotionDecision, answer: LedgerEntry | None) -> str:
    challenger, alias = markdown(decision.challenger), markdown(decision.alias)
    champion = markdown(decision.champion or "")
    stays = f"{champion} stays {alias}" if champion else f"{alias} stays vacant"
    if decision.verdict == "reject":
        return f"Rejected: {stays}, the evidence is against {challenger}"
    if not decision.approved:
        return f"Held: {stays}, the evidence for {challenger} does not suffice"
    if answer is not None and answer.kind in {"rejected", "held"}:
        return f"{answer.kind.capitalize()}: {stays}, though {challenger} passed"
    if answer is None and decision.policy.approval == "manual":
        return f"Waits for approval: {challenger} passed, {stays} until somebody agrees"
    source = f"takes {alias} from {champion}" if champion else f"becomes {alias}, which nobody was"
    return f"Promoted: {challenger} {source}"


def _agreement(decision: PromotionDecision, answer: LedgerEntry | None) -> list[str]:
    """Whether a person was asked, and who said what."""
    if not decision.approved:
        return []
    if answer is not None and (answer.kind != "promoted" or "approval" in answer.evidence):
        return [answered(answer)]
    asked = "The policy asks for a person's approval; nothing moves without it."
    return [asked] if answer is None and decision.policy.approval == "manual" else []


def _reasons(reasons: Sequence[str]) -> str:
    items = [f"- {markdown(reason, _LONGEST_REASON)}" for reason in reasons[:_MOST_REASONS]]
    more = len(reasons) - len(items)
    return "\n".join([*items, f"- and {more:,} more"] if more else items)


_DECISION_COLUMNS = (
    "Check :--",
    "Outcome :--",
    "Challenger --:",
    "Champion --:",
    "Difference --:",
    "Interval --:",
    "Needs :--",
)
_COMPARISON_COLUMNS = ("Metric :--", "Challenger --:", "Champion --:", "Difference --:", "Interval --:")


def _decision_cells(line: Line) -> list[str]:
    return [_named(line, line.check or ""), SIGNS.get(line.outcome or "", ""), *_numbers(line), _needs(line)]


def _comparison_cells(line: Line) -> list[str]:
    return [_named(line, line.measured.metric if line.measured else ""), *_numbers(line)]


def _named(line: Line, name: str) -> str:
    if line.slice is None or line.measured is None:
        return markdown(name)
    return f"{markdown(name)}, {markdown(line.slice)} ({count(line.measured.rows, 'row')})"


def _numbers(line: Line) -> list[str]:
    measured = line.measured
    if measured is None:
        return [NOTHING] * 4
    return [
        number(measured.challenger),
        NOTHING if measured.champion is None else number(measured.champion),
        NOTHING if measured.difference is None else signed(measured.difference),
        interval(measured.lower, measured.upper),
    ]


def _needs(line: Line) -> str:
    if line.threshold is None:
        return NOTHING
    if line.slice is not None:
        return f"no proof that it is below {short(line.threshold)}"
    return f"lower bound above {short(line.threshold)}"


def _decision_print(decision: PromotionDecision) -> str:
    return small_print(
        f"Holdout {rows_judged(decision.dataset_name, decision.dataset, decision.rows)}",
        f"Look {decision.look:,} at this holdout: each one-sided bound errs with a probability of at most "
        f"{number(decision.alpha)}, so its confidence is {100 * (1 - decision.alpha):.4g} %",
        f"Policy {decision.policy.fingerprint[:_FINGERPRINT]}: confidence "
        f"{100 * decision.policy.confidence:.4g} % over all looks, at least "
        f"{count(decision.policy.min_rows, 'row')}",
        _methods(result.measured.method for result in decision.checks if result.measured),
    )


def _comparison_print(comparison: Comparison) -> str:
    return small_print(
        f"Rows {rows_judged(comparison.dataset_name, comparison.dataset, rows_of(comparison))}",
        f"Each one-sided bound has a confidence of {100 * comparison.confidence:.4g} %",
        _methods(measured.method for measured in comparison.results),
    )


def rows_judged(name: str, fingerprint: str, rows: int) -> str:
    """Which rows, and how many."""
    return f"{markdown(name)} ({markdown(fingerprint[:_FINGERPRINT])}), {count(rows, 'row')}"


def _methods(methods: Iterable[str]) -> str:
    names = list(dict.fromkeys(methods))[:_MOST_REASONS]
    return f"Bounds by {', '.join(map(markdown, names))}" if names else ""
