from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registry.exceptions import AliasConflict, AlreadyInForce, InvalidValue, ReasonMissing
from registry.ledger import Proposal, Reign, Stamp, Trust, fold, following
from registry.tables import CHOICES, GENESIS, NOTES, LedgerEntry, canonical_json
from tests.lives import below, lives

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
FIELDS = [name for name in LedgerEntry.model_fields if name != "hash"]
VERSIONS = st.integers(1, 6)


def proposed(kind: str, version: int, **others: Any) -> Proposal:
    return Proposal(kind=kind, version=version, **{"model": "churn", "reason": "a sentence", **others})


def stamp(at: datetime = NOON) -> Stamp:
    return Stamp(actor="ada", at=at, flow_run_id="run")


def written(*steps: tuple[str, int]) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for kind, version in steps:
        entries.append(following(entries[-1] if entries else None, proposed(kind, version), stamp()))
    return entries


def reign_after(*steps: tuple[str, int]) -> Reign:
    return Reign.of(written(*steps)[-1])


class Ledger(RuleBasedStateMachine):
    """Any life of an alias, beside what a reader would make of its entries one version at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[LedgerEntry] = []
        self.clock = NOON

    @property
    def reign(self) -> Reign:
        return Reign.of(self.entries[-1] if self.entries else None)

    @property
    def trust(self) -> Trust:
        return fold(self.entries)

    def write(self, kind: str, version: int) -> None:
        newest = self.entries[-1] if self.entries else None
        self.entries.append(following(newest, proposed(kind, version), stamp(self.clock)))

    @rule(hours=st.integers(-48, 48))
    def set_the_clock(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)

    @rule(kind=st.sampled_from(["promoted", "assigned"]), version=VERSIONS)
    def put_in_force(self, kind: str, version: int) -> None:
        if version == self.reign.version:
            with pytest.raises(AlreadyInForce):
                self.write(kind, version)
        else:
            self.write(kind, version)

    @rule(kind=st.sampled_from(NOTES), version=VERSIONS)
    def note(self, kind: str, version: int) -> None:
        before = self.reign
        self.write(kind, version)
        assert self.reign == before

    @precondition(lambda self: self.reign.version)
    @rule()
    def clear(self) -> None:
        self.write("cleared", self.reign.version or 0)
        assert self.reign.version is None

    @precondition(lambda self: bool(below(self.trust, self.reign.version or 0)) and bool(self.reign.version))
    @rule(broken=st.integers(0, 3))
    def roll_back(self, broken: int) -> None:
        targets = below(self.trust, self.reign.version or 0)
        self.write("rolled-back", targets[min(broken, len(targets) - 1)])

    @invariant()
    def each_entry_follows_the_one_before(self) -> None:
        for sequence, entry in enumerate(self.entries, start=1):
            before = self.entries[sequence - 2] if sequence > 1 else None
            assert entry.sequence == sequence
            assert entry.previous == (before and before.sequence)
            assert entry.previous_hash == (before.hash if before else GENESIS)
            assert (entry.replaced, entry.replaced_since) == (
                (before.in_force, before.in_force_since) if before else (None, None)
            )
            assert entry.hash == entry.digest()

    @invariant()
    def time_never_runs_backwards(self) -> None:
        times = [entry.recorded_at for entry in self.entries]
        assert times == sorted(times)

    @invariant()
    def the_reign_began_with_the_newest_entry_that_moved(self) -> None:
        moves = [entry for entry in self.entries if entry.kind not in NOTES]
        assert [entry for entry in self.entries if entry.moved] == moves
        assert self.reign.since == (moves[-1].sequence if moves else None)

    @invariant()
    def the_quarantined_are_those_whose_fall_nobody_forgave(self) -> None:
        falls = {entry.replaced: entry.sequence for entry in self.entries if entry.kind == "rolled-back"}
        assert self.trust.quarantined == {
            version: fall for version, fall in falls.items() if self.last_up(version) < fall
        }

    @invariant()
    def the_champions_are_those_that_no_rollback_passed_since_they_last_were(self) -> None:
        reigned = sorted(
            {entry.version for entry in self.entries if entry.moved and entry.in_force}, key=self.last_up
        )
        assert list(self.trust.champions) == [version for version in reigned if not self.passed(version)]

    @invariant()
    def the_version_in_force_is_on_top_and_trusted(self) -> None:
        if self.reign.version:
            assert self.trust.champions[-1] == self.reign.version
            assert self.reign.version not in self.trust.quarantined
        assert not set(self.trust.champions) & set(self.trust.quarantined)

    def last_up(self, version: int | None, before: int = 1_000) -> int:
        """The sequence of the entry that last put *version* in force."""
        return max(
            (e.sequence for e in self.entries[: before - 1] if e.moved and e.in_force == version), default=0
        )

    def passed(self, version: int) -> bool:
        """Whether a rollback went past *version* to one that had reigned before it."""
        since = self.last_up(version)
        return any(
            self.last_up(entry.version, before=entry.sequence) < since
            for entry in self.entries[since:]
            if entry.kind == "rolled-back"
        )


Ledger.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestAnyLifeOfAnAlias = Ledger.TestCase


def stacked(entries: list[LedgerEntry]) -> Trust:
    """What a machine with a stack makes of them, one entry after the other."""
    champions: list[int] = []
    quarantined: dict[int, int] = {}
    for entry in entries:
        if entry.kind in CHOICES:
            champions = [*(version for version in champions if version != entry.version), entry.version]
            quarantined.pop(entry.version, None)
        if entry.kind == "rolled-back":
            del champions[champions.index(entry.version) + 1 :]
            quarantined[entry.replaced or 0] = entry.sequence
    return Trust(tuple(champions), quarantined)


@given(lives())
@settings(max_examples=150, deadline=None)
def test_a_life_says_what_a_stack_of_the_champions_would(life: list[tuple[str, int]]) -> None:
    entries = written(*life)
    assert fold(entries) == stacked(entries)


@pytest.mark.parametrize(
    "life",
    [
        [("promoted", 1), ("promoted", 2), ("rolled-back", 1), ("cleared", 1), ("promoted", 1)],
        [("promoted", 1), ("promoted", 2), ("rolled-back", 1), ("promoted", 3), ("promoted", 1)],
    ],
    ids=["after nothing was in force", "after another"],
)
def test_a_version_that_fell_stays_fallen_when_its_successor_is_chosen_again(
    life: list[tuple[str, int]],
) -> None:
    trust = fold(written(*life))
    assert trust.quarantined == {2: 3}
    assert 2 not in trust.champions


def test_a_version_that_a_rollback_passed_over_is_not_gone_back_to_when_the_target_is_chosen_again() -> None:
    life = [("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled-back", 1), ("promoted", 4)]
    assert fold(written(*life, ("promoted", 1))).champions == (4, 1)


def test_two_rollbacks_in_a_row_go_from_3_to_2_to_1() -> None:
    life = [("promoted", 1), ("promoted", 2), ("promoted", 3)]
    assert below(fold(written(*life)), 3) == [2, 1]
    life.append(("rolled-back", 2))
    assert below(fold(written(*life)), 2) == [1]
    life.append(("rolled-back", 1))
    assert below(fold(written(*life)), 1) == []
    assert fold(written(*life)) == Trust((1,), {3: 4, 2: 5})


def test_a_rollback_passes_over_champions_without_quarantining_them() -> None:
    trust = fold(written(("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled-back", 1)))
    assert trust == Trust((1,), {3: 4})


@pytest.mark.parametrize("kind", ["promoted", "assigned"])
def test_putting_a_fallen_version_in_force_on_purpose_forgives_it(kind: str) -> None:
    trust = fold(written(("promoted", 1), ("promoted", 2), ("rolled-back", 1), (kind, 2)))
    assert trust == Trust((1, 2), {})


def test_approving_a_fallen_version_does_not_forgive_it() -> None:
    trust = fold(written(("promoted", 1), ("promoted", 2), ("rolled-back", 1), ("approved", 2)))
    assert trust.quarantined == {2: 3}


def test_a_cleared_champion_is_one_to_go_back_to() -> None:
    trust = fold(written(("promoted", 1), ("cleared", 1), ("promoted", 2)))
    assert below(trust, 2) == [1]


def test_a_champion_that_reigned_twice_is_tried_once() -> None:
    trust = fold(written(("promoted", 1), ("promoted", 2), ("promoted", 1), ("promoted", 3)))
    assert below(trust, 3) == [1, 2]


def test_no_entries_trust_nobody() -> None:
    assert fold([]) == Trust((), {})
    assert below(Trust(), 1) == []


@pytest.mark.parametrize("note", NOTES)
def test_a_note_does_not_invalidate_a_decision(note: str) -> None:
    entries = written(("promoted", 3), (note, 4))
    entry = following(entries[-1], proposed("promoted", 5, against=reign_after(("promoted", 3))), stamp())
    assert (entry.replaced, entry.replaced_since) == (3, 1)


def test_a_changed_champion_invalidates_a_decision() -> None:
    entries = written(("promoted", 3), ("promoted", 4))
    with pytest.raises(AliasConflict, match="against version 3 since entry 1; now version 4 since entry 2"):
        following(entries[-1], proposed("promoted", 5, against=reign_after(("promoted", 3))), stamp())


def test_a_champion_restored_meanwhile_is_another_reign() -> None:
    entries = written(("promoted", 3), ("promoted", 4), ("rolled-back", 3))
    with pytest.raises(AliasConflict):
        following(entries[-1], proposed("promoted", 5, against=reign_after(("promoted", 3))), stamp())


def test_a_decision_against_nobody_does_not_dethrone_somebody() -> None:
    with pytest.raises(AliasConflict, match="against none"):
        following(written(("promoted", 3))[-1], proposed("promoted", 5, against=Reign()), stamp())


def test_a_decision_against_nobody_does_not_hold_after_somebody_reigned_and_went() -> None:
    entries = written(("promoted", 3), ("cleared", 3))
    with pytest.raises(AliasConflict):
        following(entries[-1], proposed("promoted", 5, against=Reign()), stamp())


def test_without_a_reign_to_be_against_a_proposal_takes_what_it_finds() -> None:
    entry = following(written(("promoted", 3))[-1], proposed("assigned", 5), stamp())
    assert (entry.replaced, entry.in_force) == (3, 5)


def test_a_conflict_is_reported_rather_than_that_the_version_is_in_force_already() -> None:
    entries = written(("promoted", 3), ("promoted", 5))
    with pytest.raises(AliasConflict):
        following(entries[-1], proposed("promoted", 5, against=reign_after(("promoted", 3))), stamp())


@pytest.mark.parametrize("kind", ["promoted", "assigned", "rolled-back"])
def test_a_move_to_what_is_in_force_is_refused(kind: str) -> None:
    with pytest.raises(AlreadyInForce, match="churn@3 is already in force as champion"):
        following(written(("promoted", 3))[-1], proposed(kind, 3), stamp())


@pytest.mark.parametrize("reason", ["", " ", "\n\t"], ids=repr)
def test_an_entry_says_why(reason: str) -> None:
    with pytest.raises(ReasonMissing, match="'assigned'"):
        following(None, proposed("assigned", 1, reason=reason), stamp())


def test_a_clock_set_back_never_makes_a_later_entry_look_earlier() -> None:
    [first] = written(("promoted", 1))
    second = following(first, proposed("promoted", 2), stamp(NOON - timedelta(days=1)))
    third = following(second, proposed("promoted", 3), stamp(NOON + timedelta(days=1)))
    assert [entry.recorded_at for entry in (first, second, third)] == [NOON, NOON, NOON + timedelta(days=1)]


@pytest.mark.parametrize("field", FIELDS)
def test_the_hash_covers(field: str) -> None:
    [_, entry] = written(("promoted", 1), ("promoted", 2))
    others: dict[type, Any] = {
        int: 77,
        str: "changed",
        dict: {"changed": 1},
        datetime: NOON + timedelta(microseconds=1),
    }
    before = getattr(entry, field)
    setattr(entry, field, "changed" if before is None else others[type(before)])
    assert entry.digest() != entry.hash


def test_the_hash_tells_apart_text_that_wanders_from_one_field_to_the_next() -> None:
    entries = [
        following(None, proposed("assigned", 1, reason=reason, key=key), stamp())
        for reason, key in [("ab", "c"), ("a", "bc")]
    ]
    assert entries[0].hash != entries[1].hash


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
@settings(max_examples=50, deadline=None)
def test_evidence_hashes_the_same_after_it_was_stored_and_read(evidence: dict[str, Any]) -> None:
    entry = following(None, proposed("promoted", 1, evidence=evidence), stamp())
    entry.evidence = json.loads(canonical_json(evidence))
    assert entry.digest() == entry.hash


def test_a_moment_hashes_the_same_in_every_time_zone() -> None:
    entry = following(None, proposed("promoted", 1), stamp())
    entry.recorded_at = datetime.fromisoformat("2026-03-03T21:00:00+09:00")
    assert entry.digest() == entry.hash


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=repr)
def test_evidence_that_has_no_json_form_is_not_written(value: float) -> None:
    with pytest.raises(InvalidValue, match=r"evidence about churn@1 can't be written down: .* JSON"):
        following(None, proposed("promoted", 1, evidence={"value": value}), stamp())
