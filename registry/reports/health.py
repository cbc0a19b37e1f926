"""What is held of the version in force, as Markdown: what holds now, the picture, the numbers."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from registry.reports.chart import LEAST, control_chart
from registry.reports.parts import picture, small_print, table
from registry.reports.stream import LOOKS, Stream
from registry.words import NOTHING, count, markdown, number, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.tables import LedgerEntry, Observation

_LISTED = 10
_LONGEST_REASON = 400


def health_card(observations: Sequence[Observation], entries: Sequence[LedgerEntry] = ()) -> str:
    """What is held of the version in force by one metric, as Markdown with the control chart in it.

    Args:
        observations: Of one model, alias and metric, oldest first.
        entries: The ledger of the alias, oldest first: it says how a version came into force, and why.
    """
    if not observations:
        return "## Nothing was observed yet\n"
    stream = Stream.of(observations, entries)
    newest = stream.newest
    parts = [
        f"## {_headline(stream)}",
        *filter(None, [_explained(stream), _came_into_force(stream)]),
        picture(f"{newest.metric} of {newest.model}@{newest.alias}", control_chart(observations, entries)),
        table(_COLUMNS, [_cells(row, held) for row, held in _listed(stream)]),
        _listing(stream),
        "---",
        _policy_print(newest),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(stream: Stream) -> str:
    newest = stream.newest
    state = stream.state(lambda version: markdown(f"{newest.model}@{version}"), markdown)
    if stream.successor:
        return state
    who = f"{markdown(newest.metric)} of {markdown(newest.reference)}"
    return f"{state}: {stream.score(who, markdown)}"


def _explained(stream: Stream) -> str:
    """What the status means for whoever is on call."""
    row, contest = stream.newest, _contest(stream.newest)
    if stream.successor:
        return ""
    match row.status:
        case "healthy":
            return f"The evidence of a fall is {_evidence(row)}; 1 raises the alarm."
        case "suspect":
            asked = "It fell. Whether the model broke or the world changed is asked of rows after the alarm"
            return f"{asked}: {contest or 'nothing was compared yet'}."
        case "degraded":
            return f"It is to come down: {contest or 'the alarm stands without a comparison'}."
    return f"Nothing comes down, retraining is called for: {contest or 'no version does better'}."


def _contest(row: Observation) -> str:
    contest = row.state["contest"]
    if not (contest and contest["batches"]):
        return ""
    target, own = markdown(f"{row.model}@{contest['target']}"), markdown(row.reference)
    return (
        f"in {count(contest['batches'], 'batch')} since the alarm only {target} was right on"
        f" {count(contest['target_only'], 'row')}, only {own} on {contest['champion_only']:,}"
    )


def _came_into_force(stream: Stream) -> str:
    entry = stream.move
    if entry is None:
        return ""
    when = f"{entry.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    kind, reason = entry.kind.replace("-", " "), markdown(entry.reason, _LONGEST_REASON)
    return f"{kind.capitalize()} on {when} by {markdown(entry.actor)}: {reason}"


_COLUMNS = (
    "Batch :--",
    "Version --:",
    "Rows --:",
    "Value --:",
    "Floor --:",
    "Evidence --:",
    "Status :--",
    "Late :--",
)


def _listed(stream: Stream) -> list[tuple[Observation, Observation]]:
    newest = stream.last(_LISTED)
    return list(zip(newest.rows, newest.standing, strict=True))[::-1]


def _cells(row: Observation, standing: Observation) -> list[str]:
    look = LOOKS[row.status]
    held = [_evidence(row), f"{look.sign} {look.word}", "late" if row.late else ""]
    return [
        markdown(row.batch),
        f"@{row.version}",
        f"{row.rows:,}",
        number(row.value),
        number(row.floor),
        *(held if row is standing else [NOTHING, NOTHING, "late, out of force"]),
    ]


def _evidence(row: Observation) -> str:
    return f"below {short(LEAST)}" if row.evidence < LEAST else number(row.evidence, 3)


def _listing(stream: Stream) -> str:
    listed, recorded = min(_LISTED, len(stream.rows)), stream.rows[-1].sequence
    newest = f"The newest {listed} of " if listed < recorded else ""
    return f"{newest}{count(recorded, 'batch')}, in the order of recording, the newest first."


_ALARMS = {
    "degradation": "an alarm when the long-run mean is below the floor, with about one false alarm in"
    " {every:,} healthy batches",
    "threshold": "an alarm on each batch that falls too far, with no bound on false alarms",
    "consecutive": "an alarm on several batches in a row that fall too far, with no bound on false alarms",
}
_CONFIRMATIONS = {
    "required": "the version to go back to has to be better on rows after it",
    "if_possible": "the version to go back to, if it is asked, has to be better on rows after it",
    "never": "it is enough",
}


def _policy_print(row: Observation) -> str:
    policy, baseline, pool = row.policy, row.state["baseline"], row.state["pool"]
    rows = count(round(baseline["rows"]), "row")
    first = f"{pool and pool['batches']} of the first {count(policy['first_batches'], 'healthy batch')} seen"
    return small_print(
        f"Detector {policy['detector']}: {_ALARMS[policy['detector']].format(**policy)}",
        f"To bring a version down after an alarm, {_CONFIRMATIONS[policy['confirm']]}",
        f"A suspicion that nothing decides ends after {count(policy['patience'], 'batch')}",
        f"Reference of @{row.version}: {number(baseline['value'])} on {rows},"
        f" {'frozen' if pool is None else f'still open: {first}'}",
    )
