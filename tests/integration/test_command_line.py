from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

import registry as package
from registry import Alert, Registry, RollbackPolicy, cli, console
from registry.database import writing
from tests.examples import fit, make_dataset
from tests.shelves import leasing, put
from tests.three_versions import holdout, three_versions, training

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "[red]it [/] broke[/red]: \x1b[31m\x1b[2J\x9b1m\r\n\tfirst \u202enwod :smile: \\"
SHOWN = "[red]it [/] broke[/red]: \ufffd[31m\ufffd[2J\ufffd1m   first \ufffdnwod :smile: \\"


@dataclass
class Answer:
    """What a command printed, and its exit status."""

    status: int | str | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def words(self) -> list[list[str]]:
        return [line.split() for line in self.lines]

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        return line.removeprefix("error: ")


class Terminal:
    """Runs `registry` in this process, as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["registry", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Answer(end.value.code or 0, *self._capsys.readouterr())


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Registry]:
    """Three versions of churn, each better than the one before; none is in force."""
    with three_versions(tmp_path_factory, tmp_path) as registry:
        yield registry


@pytest.fixture
def run(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Terminal:
    """A terminal of 80 columns in an empty folder, whose environment names the registry."""
    for name, value in environment(registry).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.out, "width", 80)
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """The holdout's file."""
    path = tmp_path / "february.parquet"
    holdout().frame.to_parquet(path)
    return str(path)


def environment(registry: Registry) -> dict[str, str]:
    return {
        "MODEL_REGISTRY_DATABASE": f"sqlite:///{registry.backend.rows.engine.url.database}",
        "MODEL_REGISTRY_ARTIFACTS": registry.backend.artifacts.location,
        "MODEL_REGISTRY_ACTOR": "ada",
    }


def put_in_force(registry: Registry, *numbers: int) -> None:
    for number in numbers:
        registry.assign(f"churn@{number}", reason=f"because of {number}")


def in_a_process(registry: Registry, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell *command*, in which `registry` is the command line, in another process."""
    program = f"{sys.executable} -c 'from registry.cli import main; main()'"
    home = {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    return subprocess.run(  # noqa: S603, the commands are these tests' own
        ["/bin/bash", "-c", command.replace("registry ", f"{program} ")],
        env={**os.environ, **environment(registry), **home, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Looking


def test_models_are_listed_with_what_is_in_force(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 2)
    registry.assign("churn@1", alias="fallback", reason="the first")
    answer = run("models")
    assert (answer.status, answer.err) == (0, "")
    assert answer.words[0] == ["model", "last", "version", "in", "force", "created"]
    assert answer.lines[1].startswith("churn  3             champion → 2, fallback → 1")


def test_an_empty_registry_says_so(run: Terminal, tmp_path: Path) -> None:
    answer = run("--database", f"sqlite:///{tmp_path}/new.db", "models")
    assert (answer.status, answer.out) == (0, "no models yet\n")


def test_versions_are_listed_oldest_first(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 2)
    answer = run("versions", "churn")
    assert [words[:1] for words in answer.words] == [["version"], ["churn@1"], ["churn@2"], ["churn@3"]]
    assert "champion" in answer.lines[2]
    assert "DecisionTreeClassifier" in answer.lines[2]
    answer = run("versions", "churn", "--last", "2")
    assert [words[:1] for words in answer.words] == [["version"], ["churn@2"], ["churn@3"]]


def test_a_version_is_shown_with_its_origin_its_numbers_and_its_history(
    run: Terminal, registry: Registry
) -> None:
    put_in_force(registry, 2, 3)
    answer = run("show", "churn@2")
    facts = {line[:13].strip(): line[13:].strip() for line in answer.lines}
    assert facts["version"] == "churn@2"
    assert facts["in force as"] == "–"
    assert facts["estimator"].endswith("DecisionTreeClassifier")
    assert facts["trained on"] == f"january, 400 rows ({training().fingerprint[:12]})"
    assert ["churn@2", "on", "february", "rows", "accuracy"] in answer.words
    assert "because of 2" in answer.out
    assert "because of 3" in answer.out  # that is how it came down
    assert "because of 1" not in answer.out
    assert "in force as  champion" in run("show", "churn@champion").out


def test_a_version_that_fell_shows_why(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1, 2)
    registry.roll_back("churn", reason="it broke")
    assert "it broke" in run("show", "churn@2").out


def test_the_history_gives_each_reason_a_line_of_its_own(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1, 2)
    answer = run("history", "churn")
    assert answer.words[0] == ["alias", "#", "what", "version", "in", "force", "when", "by"]
    assert answer.words[1][:5] == ["champion", "1", "assigned", "1", "1"]
    assert answer.words[1][-1] == "ada"
    assert answer.lines[2] == "    because of 1"
    assert answer.words[3][:7] == ["champion", "2", "assigned", "2", "1", "→", "2"]


def test_the_history_of_one_alias_leaves_the_others_out(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1)
    registry.assign("churn@3", alias="shadow", reason="try it")
    assert "try it" not in run("history", "churn", "--alias", "champion").out
    assert "try it" in run("history", "churn").out


def test_a_model_of_which_nothing_was_decided_says_so(run: Terminal) -> None:
    answer = run("history", "churn")
    assert (answer.status, answer.out) == (0, "nothing was decided yet\n")


@pytest.mark.parametrize("width", [80, 160])
def test_what_is_printed_fits_the_terminal(
    run: Terminal, registry: Registry, data: str, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(console.out, "width", width)
    long_name = "a-model-with-a-name-that-is-as-long-as-names-get-in-practice"
    params = {f"option_{n}": n for n in range(40)}
    registry.register(long_name, fit(training()), trained_on=training(), params=params)
    registry.assign(f"{long_name}@1", reason="word " * 60)
    put_in_force(registry, 1)
    for command in (
        "models",
        "versions churn",
        f"versions {long_name}",
        f"show {long_name}@1",
        f"history {long_name}",
        f"promote churn@3 --data {data} --better neg_log_loss --floor balanced_accuracy=0.4",
        f"evaluate churn@1 --data {data} --metric accuracy --slice origin",
        f"compare churn@3 churn@1 --data {data} --metric neg_root_mean_squared_error",
    ):
        answer = run(*command.split())
        assert answer.status == 0, answer.err
        assert max(map(len, answer.lines)) <= width, answer.out


def test_a_long_reason_wraps_below_its_entry(run: Terminal, registry: Registry) -> None:
    registry.assign("churn@1", reason="word " * 60)
    _head, _entry, *reason = run("history", "churn").lines
    assert len(reason) == 4
    assert all(line.startswith("    word word") for line in reason)


def test_a_reference_is_resolved_to_a_name_for_the_shell(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 2)
    for reference, name in (("champion", "churn@2"), ("latest", "churn@3"), ("1", "churn@1")):
        answer = run("resolve", f"churn@{reference}")
        assert (answer.status, answer.out, answer.err) == (0, f"{name}\n", "")


# As of a time


def test_an_alias_is_resolved_as_of_a_time(run: Terminal, registry: Registry) -> None:
    first = registry.assign("churn@1", reason="start").recorded_at
    second = registry.assign("churn@3", reason="next").recorded_at
    just_before = second - timedelta(microseconds=1)
    for moment, name in ((first, "churn@1"), (just_before, "churn@1"), (second, "churn@3")):
        zoned, local = moment.isoformat(), moment.astimezone().replace(tzinfo=None).isoformat()
        assert run("resolve", "churn@champion", "--at", zoned).out == f"{name}\n"
        assert run("resolve", "churn@champion", "--at", local).out == f"{name}\n"
    assert run("resolve", "churn@champion", "--at", "2999-01-01").out == "churn@3\n"


def test_an_export_is_of_a_time_with_or_without_a_zone(run: Terminal, registry: Registry) -> None:
    second, third = (registry.resolve(f"churn@{number}").registered_at for number in (2, 3))
    for since, until in (
        (second.isoformat(), third.astimezone(timezone(timedelta(hours=-9))).isoformat()),
        (second.astimezone().replace(tzinfo=None).isoformat(), third.isoformat()),
    ):
        (event,) = run("audit", "export", "--since", since, "--until", until).lines
        assert json.loads(event)["version"] == 2
    assert run("audit", "export", "--since", "yesterday").status == 2


def test_before_the_first_entry_nothing_was_in_force(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1)
    answer = run("resolve", "churn@champion", "--at", "2020-01-01")
    assert answer.status == 1
    assert answer.error.startswith("nothing was in force as churn@champion at ")


@pytest.mark.parametrize(
    "moment", ["yesterday", "", "0001-01-01", "9999-12-31T23:59:59-14:00", "2026-13-01", "[red]"]
)
def test_a_time_that_is_none_is_misuse(run: Terminal, registry: Registry, moment: str) -> None:
    put_in_force(registry, 1)
    answer = run("resolve", "churn@champion", "--at", moment)
    assert (answer.status, answer.out) == (2, "")
    assert "write a time such as 2026-03-01" in answer.err


@pytest.mark.parametrize("reference", ["churn@latest", "churn@1"])
def test_only_an_alias_has_a_past(run: Terminal, reference: str) -> None:
    answer = run("resolve", reference, "--at", "2020-01-01")
    assert (answer.status, answer.out) == (2, "")
    assert "only what an alias names changes" in answer.err


# Measuring and judging


def test_a_version_is_evaluated(run: Terminal, data: str) -> None:
    answer = run("evaluate", "churn@3", "--data", data, "--metric", "roc_auc", "--slice", "origin")
    assert answer.status == 0
    assert answer.words[0][-3:] == ["rows", "accuracy", "roc_auc"]  # the first was measured before
    assert [words[:2] for words in answer.words[1:]] == [
        ["all", "1,000"],
        ["origin=0", "334"],
        ["origin=1", "334"],
        ["origin=2", "332"],
    ]


def test_two_versions_are_compared(run: Terminal, registry: Registry, data: str) -> None:
    answer = run("compare", "churn@3", "churn@1", "--data", data, "--metric", "accuracy")
    assert answer.status == 0
    assert answer.words[0] == ["metric", "churn@3", "churn@1", "difference", "bounds", "method"]
    assert re.match(r"accuracy +0\.\d+ +0\.5000 +\+0\.\d+ +0\.\d+ … 0\.\d+ +Tango", answer.lines[1])
    assert answer.lines[-1] == "1,000 rows of february; one-sided bounds at 95%"
    assert registry.history("churn") == []


def test_a_version_that_is_provably_better_is_promoted(run: Terminal, registry: Registry, data: str) -> None:
    put_in_force(registry, 1)
    answer = run("promote", "churn@3", "--data", data, "--better", "accuracy", "--floor", "accuracy=0.6")
    assert answer.status == 0
    assert answer.lines[0] == "promote: churn@3 against churn@1"
    assert answer.lines[1].startswith("    accuracy differs by +0.")
    assert "passed   accuracy above 0.6  all" in answer.out
    assert answer.lines[-1].startswith("1,000 rows of february, look 1 at them: each bound errs with")
    assert registry.aliases("churn") == {"champion": 3}


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        (("--better", "accuracy"), "reject"),
        (("--not-worse", "accuracy=0.9", "--floor", "accuracy=0.5"), "inconclusive"),
        (("--better", "accuracy", "--min-rows", "2000"), "inconclusive"),
    ],
)
def test_a_version_that_is_not_is_refused_with_the_reason(
    run: Terminal, registry: Registry, data: str, options: tuple[str, ...], verdict: str
) -> None:
    put_in_force(registry, 2)
    answer = run("promote", "churn@1", "--data", data, *options)
    assert answer.status == 1
    assert answer.lines[0] == f"{verdict}: churn@1 against churn@2"
    assert registry.aliases("churn") == {"champion": 2}
    assert answer.lines[1].strip() in registry.history("churn")[-1].reason


FLOOR_JSON = '{"checks": [{"check": "floor", "metric": "accuracy", "value": 0.4}], "min_rows": 5}'
FLOOR_TOML = 'min_rows = 5\n[[checks]]\ncheck = "floor"\nmetric = "accuracy"\nvalue = 0.4\n'


@pytest.mark.parametrize("policy", [("p.json", FLOOR_JSON), ("p.toml", FLOOR_TOML)])
def test_a_policy_is_read_from_a_file(
    run: Terminal, registry: Registry, data: str, policy: tuple[str, str]
) -> None:
    name, text = policy
    Path(name).write_text(text)
    answer = run("promote", "churn@1", "--data", data, "--policy", name, "--alias", "shadow", "--json")
    assert answer.status == 0
    assert answer.json["policy"]["min_rows"] == 5
    assert registry.aliases("churn") == {"shadow": 1}


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("missing.json", None, "missing.json: No such file or directory"),
        (".", None, "Is a directory"),
        ("p.json", "{", "p.json: it is no JSON or TOML"),
        ("p.toml", "checks = ", "p.toml: it is no JSON or TOML"),
        ("p.json", "\udcff", "p.json: it is no JSON or TOML"),
        ("p.json", "[]", "p.json: .*valid dictionary"),
        ("p.json", "{}", "p.json: checks: Field required"),
        ("p.json", '{"checks": []}', "p.json: it has no check"),
        ("p.toml", "checks = [{check = 'best', metric = 'f1'}]", "p.toml: checks.0: .*'better', 'not worse'"),
        ("p.toml", "row = 1\nchecks = [{check = 'better', metric = 'f1'}]", "p.toml: row: Extra inputs"),
        (
            "p.toml",
            "checks = [{check = 'not worse', metric = 'f1', margin = -1}]",
            "p.toml: .*give 0 or a pos",
        ),
    ],
)
def test_a_policy_file_that_says_nothing_is_misuse(
    run: Terminal, data: str, name: str, text: str | None, fault: str
) -> None:
    if text is not None:
        Path(name).write_bytes(text.encode(errors="surrogateescape"))
    answer = run("promote", "churn@1", "--data", data, "--policy", name)
    assert answer.status == 2
    assert re.search(fault, answer.error)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((), "say what must by --better, --not-worse, --floor or --policy"),
        (("--floor", "accuracy"), "'accuracy' is no METRIC=NUMBER, such as roc_auc=0.8"),
        (("--floor", "accuracy=high"), "'accuracy=high' is no METRIC=NUMBER"),
        (("--floor", "accuracy=nan"), "give a number"),
        (("--not-worse", "accuracy=-1"), "give 0 or a positive number"),
        (("--better", "accuracy", "--min-rows", "0"), "give 1 or more"),
        (("--better", "accuracy", "--policy", "p.json"), "give the file or the options, not both"),
        (("--min-rows", "5", "--policy", "p.json"), "give the file or the options, not both"),
        (("--better", "accuracy", "--alias", "latest"), "'latest' is not a valid alias"),
    ],
)
def test_demands_that_are_none_are_misuse(
    run: Terminal, registry: Registry, data: str, options: tuple[str, ...], fault: str
) -> None:
    answer = run("promote", "churn@1", "--data", data, *options)
    assert answer.status == 2
    assert fault in answer.error
    assert registry.history("churn") == []


# Moving by hand


def test_a_version_is_assigned_and_cleared(run: Terminal, registry: Registry) -> None:
    answer = run("assign", "churn@2", "champion", "--reason", "hotfix")
    assert answer.status == 0
    assert answer.words[1][:5] == ["champion", "1", "assigned", "2", "2"]
    assert answer.lines[2] == "    hotfix"
    answer = run("clear", "churn", "champion", "--reason", "gone")
    assert answer.status == 0
    assert answer.words[1][:7] == ["champion", "2", "cleared", "2", "2", "→", "–"]
    assert registry.aliases("churn") == {}


def test_the_champion_is_rolled_back(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1, 2)
    answer = run("rollback", "churn", "--reason", "it broke", "--version", "2")
    assert answer.status == 0
    assert answer.words[1][:7] == ["champion", "3", "rolled-back", "1", "2", "→", "1"]
    again = run("rollback", "churn", "--reason", "it broke", "--version", "2")
    assert again.status == 1
    assert "now version 1 since entry 3 is in force" in again.error
    assert "nothing to roll back to" in run("rollback", "churn", "--reason", "and this").error


def test_a_type_is_trusted_until_it_is_not(run: Terminal, registry: Registry) -> None:
    name = "sklearn.metrics._regression.r2_score"
    answer = run("trust", name, "--reason", "I read its code")
    assert (answer.status, answer.out) == (0, f"{name} is trusted: I read its code\n")
    assert name in {trusted["name"] for trusted in run("trusted", "--json").json}
    assert "I read its code" in run("trusted").out
    assert run("distrust", name).status == 0
    assert name not in {trusted.name for trusted in registry.trusted()}


@pytest.mark.parametrize("name", ["foo", "no.such.Type", "os.path", ".x", "math.pi"])
def test_only_a_type_that_exists_can_be_trusted(run: Terminal, registry: Registry, name: str) -> None:
    answer = run("trust", name, "--reason", "I read its code")
    assert answer.status == 2
    assert "write module.Name" in answer.error
    assert name not in {trusted.name for trusted in registry.trusted()}


def test_a_version_that_fell_is_shown_as_quarantined(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1, 2)
    run("rollback", "churn", "--reason", "broken")
    assert run("show", "churn@2", "--json").json["quarantined"] == ["champion"]
    assert run("show", "churn@1", "--json").json["quarantined"] == []


@pytest.mark.parametrize(
    "command",
    [
        ("assign", "churn@2", "champion"),
        ("clear", "churn", "champion"),
        ("rollback", "churn"),
        ("trust", "my.Type"),
    ],
)
def test_whoever_moves_something_by_hand_says_why(
    run: Terminal, registry: Registry, command: tuple[str, ...]
) -> None:
    put_in_force(registry, 1, 3)
    for reason in ((), ("--reason",), ("--reason", ""), ("--reason", " \n")):
        answer = run(*command, *reason)
        assert (answer.status, answer.out) == (2, "")
        assert "--reason" in answer.err
    assert len(registry.history("churn")) == 2


# Keeping


def test_a_whole_registry_is_verified(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1)
    answer = run("verify")
    assert (answer.status, answer.out) == (0, "8 checked, 0 wrong\n")


def test_damage_is_named(run: Terminal, registry: Registry) -> None:
    registry.backend.artifacts.remove(registry.resolve("churn@2").artifact)
    answer = run("verify")
    assert answer.status == 1
    assert answer.lines[0].startswith("churn@2: ")
    assert "has no artifact" in answer.lines[0]
    assert answer.lines[1:] == ["7 checked, 1 wrong"]
    assert run("verify", "--json").json["problems"][0]["subject"] == "churn@2"


def test_garbage_is_listed_and_collected(run: Terminal, registry: Registry) -> None:
    digest = put(leasing(registry, timedelta(0)), "lost")
    put(registry, "under way")
    listing = [f"{digest}  orphan  4 bytes", "1 artifact would be removed, 4 bytes"]
    assert run("gc", "--dry-run").lines == listing
    assert registry.backend.artifacts.exists(digest)
    removed = [{"digest": digest, "bytes": 4, "was": "orphan"}]
    assert run("gc", "--json").json == {"removed": removed, "kept": {}, "strays": []}
    assert not registry.backend.artifacts.exists(digest)
    assert run("gc").lines == ["0 artifacts removed, 0 bytes"]


def test_strays_are_left_alone_unless_it_is_asked_for(
    run: Terminal, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "stray").write_text("stray")
    digest = registry.backend.artifacts.write(tmp_path / "stray")
    told, remedy = run("gc", "--strays").lines
    assert told == "0 artifacts removed, 0 bytes"
    assert remedy.startswith("1 stray left alone, 5 bytes, of which no row knows: ")
    listing = [f"{digest}  stray  5 bytes", "1 artifact would be removed, 5 bytes"]
    assert run("gc", "--strays", "--hours", "0", "--dry-run").lines == listing
    assert run("gc", "--json").json["strays"] == [{"digest": digest, "bytes": 5}]
    assert run("gc", "--strays", "--hours", "0").lines[-1] == "1 artifact removed, 5 bytes"
    assert not registry.backend.artifacts.exists(digest)


def unleased(registry: Registry) -> None:
    """Let the leases of what was just registered be over."""
    with writing(registry.backend.rows.engine) as session:
        session.connection().execute(text("UPDATE model_artifact SET leased_until = '2026-01-01 00:00:00'"))


@pytest.mark.parametrize("way", ["options", "file"])
def test_a_retention_policy_is_told_what_it_would_give_up_and_why_it_keeps_the_rest(
    run: Terminal, registry: Registry, tmp_path: Path, way: str
) -> None:
    put_in_force(registry, 2)
    unleased(registry)
    (tmp_path / "policy.toml").write_text("keep_last = 1\nkeep_younger_than = 0\n")
    options = ["--keep-last", "1", "--keep-days", "0"]
    policy = options if way == "options" else ["--retention", "policy.toml"]
    dry = run("gc", "--dry-run", *policy)
    first = registry.resolve("churn@1").artifact
    assert any(line.startswith(f"{first}  purged  ") for line in dry.lines)
    assert "churn@2 stays: in force as champion" in dry.lines
    assert "churn@3 stays: among the newest 1" in dry.lines
    assert dry.lines[-1].startswith("2 artifacts would be removed, ")
    assert registry.backend.artifacts.exists(first)
    found = run("gc", "--dry-run", "--json", *policy).json
    assert found["kept"]["churn@2"] == ["in force as champion"]
    assert run("gc", *policy).lines[-1].startswith("2 artifacts removed, ")
    assert run("versions", "churn").words[1][-1] == "purged"
    assert [each["bytes"] for each in run("versions", "churn", "--json").json] == ["purged", None, None]
    assert "by ada: retention: neither in force" in " ".join(run("show", "churn@1").out.split())
    assert "of churn@1 was purged on" in run("assign", "churn@1", "champion", "--reason", "x").error
    assert run("verify").status == 0


def test_a_policy_comes_from_a_file_or_from_options(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"keep_last": -1}')
    both = run("gc", "--retention", "policy.json", "--keep-last", "1")
    assert (both.status, "give the file or the options, not both" in both.error) == (2, True)
    odd = run("gc", "--retention", "policy.json")
    assert (odd.status, "keep_last" in odd.error) == (2, True)


def test_what_is_pinned_is_marked_and_keeps_its_bytes(run: Terminal, registry: Registry) -> None:
    unleased(registry)
    assert (
        run("pin", "churn@1", "--reason", "the auditor asked").out == "churn@1 is pinned: the auditor asked\n"
    )
    assert run("versions", "churn").words[1][-1] == "pinned"
    assert "by ada: the auditor asked" in " ".join(run("show", "churn@1").out.split())
    assert run("show", "churn@1", "--json").json["pin"]["reason"] == "the auditor asked"
    kept = run("gc", "--dry-run", "--keep-last", "0", "--keep-days", "0", "--json").json["kept"]
    assert kept == {"churn@1": ["pinned by ada: the auditor asked"]}
    assert run("unpin", "churn@1").out == "churn@1 is not pinned\n"
    assert registry.pins("churn") == {}
    assert run("pin", "churn@1", "--reason", " ").status == 2


def test_versions_are_searched_page_by_page(run: Terminal) -> None:
    first = run("search", "--model", "churn", "--limit", "2")
    assert [words[0] for words in first.words[1:]] == ["churn@3", "churn@2"]
    assert first.err.startswith("there are more: the same with --after ")
    token = first.err.split()[-1]
    last = run("search", "--model", "churn", "--limit", "2", "--after", token)
    assert ([words[0] for words in last.words[1:]], last.err) == (["churn@1"], "")
    foreign = run("search", "--after", token)
    assert (foreign.status, "pass the next of the page before" in foreign.error) == (2, True)


def test_the_best_versions_are_found_with_their_values(run: Terminal, registry: Registry) -> None:
    digits = holdout().fingerprint[:12]
    measured = {
        evaluation.number: evaluation.metrics["accuracy"]
        for number in (1, 2, 3)
        for evaluation in registry.evaluations(f"churn@{number}")
    }
    found = run("search", "--metric", "accuracy", "--dataset", digits, "--json").json["versions"]
    assert {version["number"]: version["value"] for version in found} == measured
    assert [version["number"] for version in found] == [3, 2, 1]
    above = str(measured[2])
    shown = run("search", "--metric", "accuracy", "--dataset", digits, "--above", above)
    assert [words[:2] for words in shown.words] == [
        ["version", "accuracy"],
        ["churn@3", f"{measured[3]:.4f}"],
    ]


@pytest.mark.parametrize("lone", [["--metric", "accuracy"], ["--dataset", "f" * 64], ["--above", "0.5"]])
def test_a_ranking_needs_a_metric_and_the_rows(run: Terminal, lone: list[str]) -> None:
    answer = run("search", *lone)
    assert (answer.status, "give both --metric and --dataset" in answer.err) == (2, True)


def test_all_that_is_asked_for_narrows_the_search(run: Terminal, registry: Registry) -> None:
    put_in_force(registry, 1, 2)
    registry.tag("churn@2", {"team": "risk", "stage": "shadow"})
    for words, found in (
        (["--alias", "champion"], ["churn@2"]),
        (["--tag", "team=risk", "--tag", "stage=shadow"], ["churn@2"]),
        (["--tag", "team=risk", "--tag", "stage=live"], []),
        (["--since", "2999-01-01"], []),
        (["--until", "1999-01-01"], []),
        (["--since", "1999-01-01", "--until", "2999-01-01"], ["churn@3", "churn@2", "churn@1"]),
    ):
        answer = run("search", *words)
        assert [line.split()[0] for line in answer.lines if line.startswith("churn")] == found
        assert answer.status == 0
    assert run("search", "--alias", "canary").out == "there is no such version\n"


def test_a_version_and_a_model_are_tagged_and_untagged(run: Terminal) -> None:
    assert run("tag", "churn@1", "team=risk", "note=a=b").out == "churn@1 is tagged\n"
    assert run("tag", "churn", "team=growth").out == "churn is tagged\n"
    assert run("tags", "churn@1").lines == ["note=a=b", "team=risk"]
    assert "note = a=b, team = risk" in " ".join(run("show", "churn@1").out.split())
    assert run("untag", "churn@1", "note", "team").out == "churn@1 has no tag note or team\n"
    assert (run("tags", "churn@1").out, run("tags", "churn").out) == ("", "team=growth\n")
    assert run("show", "churn@1", "--json").json["tags"] == []
    odd = run("tag", "churn@1", "team")
    assert (odd.status, "'team' is no KEY=VALUE" in odd.err) == (2, True)


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "1e300", "many"])
def test_a_grace_period_is_a_number_of_hours(run: Terminal, hours: str) -> None:
    answer = run("gc", "--hours", hours)
    assert (answer.status, answer.out) == (2, "")
    assert "--hours" in answer.err


def test_the_demo_leaves_a_registry_alone_that_has_its_model(run: Terminal, registry: Registry) -> None:
    registry.register("flight-delay", fit(training()), trained_on=training())
    answer = run("demo")
    assert answer.status == 1
    assert "run the demo in another folder, or see `registry history flight-delay`" in answer.error


# For programs


def test_every_reading_command_speaks_json(run: Terminal, registry: Registry, data: str) -> None:
    put_in_force(registry, 1)
    registry.assign("churn@2", reason=HOSTILE)
    registry.tag("churn@1", {"team": "risk", "note": HOSTILE})
    decision = run("promote", "churn@3", "--data", data, "--better", "accuracy", "--json")
    assert (decision.json["verdict"], decision.json["look"]) == ("promote", 1)
    answers = {
        command: run(*command.split(), "--json")
        for command in (
            "models",
            "versions churn",
            "show churn@3",
            "history churn",
            "resolve churn@champion",
            "search --tag team=risk",
            "tags churn@1",
            f"evaluate churn@2 --data {data} --metric roc_auc --slice origin",
            f"compare churn@3 churn@2 --data {data} --metric accuracy",
            "verify",
            "gc",
        )
    }
    for command, answer in answers.items():
        assert (answer.status, answer.err) == (0, ""), command
        assert answer.out.isascii(), command
    found = {command.split()[0]: answer.json for command, answer in answers.items()}
    assert found["models"][0]["aliases"] == {"champion": 3}
    assert [version["aliases"] for version in found["versions"]] == [[], [], ["champion"]]
    assert found["show"]["aliases"] == found["resolve"]["aliases"] == ["champion"]
    assert [entry["sequence"] for entry in found["show"]["ledger"]] == [3]
    assert [entry["reason"] for entry in found["history"]][:2] == ["because of 1", HOSTILE]
    assert set(found["evaluate"]["slices"]) == {"origin=0", "origin=1", "origin=2"}
    assert found["compare"]["results"][0]["difference"] > 0
    assert [version["reference"] for version in found["search"]["versions"]] == ["churn@1"]
    assert found["search"]["next"] is None
    assert found["tags"] == {"note": HOSTILE, "team": "risk"}
    assert found["verify"] == {"checked": 8, "problems": [], "remarks": []}
    assert found["gc"] == {"removed": [], "kept": {}, "strays": []}


def test_a_refusal_also_comes_as_json(run: Terminal, registry: Registry, data: str) -> None:
    put_in_force(registry, 2)
    answer = run("promote", "churn@1", "--data", data, "--better", "accuracy", "--json")
    assert (answer.status, answer.json["verdict"]) == (1, "reject")


# Refusals and misuse


@pytest.mark.parametrize(
    ("command", "status", "error"),
    [
        ("show churn@9", 1, "model 'churn' has no version 9: `registry versions churn` lists those it has"),
        ("show chrun@1", 1, "there is no model 'chrun': `registry models` lists those that exist"),
        ("versions chrun", 1, "there is no model 'chrun'"),
        (
            "resolve churn@champion",
            1,
            "nothing is in force as churn@champion: promote or assign",
        ),
        ("rollback churn --reason x", 1, "nothing is in force as churn@champion"),
        ("clear chrun champion --reason x", 1, "there is no model 'chrun'"),
        ("evaluate churn@1 --data none.csv --metric accuracy", 1, "No such file"),
        ("evaluate churn@1 --data none.xls --metric accuracy", 1, "must end in .parquet, .csv, .csv.gz"),
        ("evaluate churn@1 --data {data} --metric acuracy", 1, "did you mean accuracy"),
        ("evaluate churn@1 --data {data} --metric accuracy --slice carrier", 1, "no column 'carrier'"),
        ("promote churn@1 --data january.parquet --better accuracy", 1, "was trained on dataset"),
        ("show churn", 2, "'churn' does not refer to a version: write name@7, name@champion or name@latest"),
        ("show churn@", 2, "does not refer to a version"),
        ("resolve churn@[red]", 2, "'churn@[red]' does not refer to a version"),
        ("history Churn!", 2, "'Churn!' is not a valid model name: use 1 to 256 of a-z"),
        ("versions churn@1", 2, "'churn@1' is not a valid model name"),
        ("history churn --alias 7", 2, "'7' is not a valid alias"),
        ("assign churn@1 latest --reason x", 2, "'latest' is not a valid alias"),
        ("rollback churn --alias latest --reason x", 2, "'latest' is not a valid alias"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_remedy(
    run: Terminal, data: str, command: str, status: int, error: str
) -> None:
    training().frame.to_parquet("january.parquet")
    answer = run(*command.format(data=data).split())
    assert answer.status == status
    assert error in answer.error


@pytest.mark.parametrize("command", ["nonsense", "models --nonsense", "show", "rollback churn --version two"])
def test_an_unknown_command_or_option_is_misuse(run: Terminal, command: str) -> None:
    answer = run(*command.split())
    assert (answer.status, answer.out) == (2, "")
    assert "Usage: registry" in answer.err


def test_a_missing_database_folder_is_a_refusal(run: Terminal, tmp_path: Path) -> None:
    answer = run("--database", f"sqlite:///{tmp_path}/nowhere/registry.db", "models")
    assert answer.status == 1
    assert "nowhere/registry.db can't be used: unable to open database file" in answer.error


def test_an_artifact_folder_can_be_named_too(run: Terminal, registry: Registry, tmp_path: Path) -> None:
    answer = run("--artifacts", str(tmp_path / "elsewhere"), "verify")
    assert (answer.status, answer.lines[-1]) == (1, "7 checked, 6 wrong")
    assert len(list(registry.backend.artifacts.stored())) == 6


def test_without_a_command_the_help_lists_them_all(run: Terminal) -> None:
    answer = run()
    commands = "models versions show history resolve evaluate compare promote assign clear rollback verify gc"
    for command in (*commands.split(), "trust", "demo"):
        assert f" {command} " in answer.out + answer.err


# Hostile text


def test_a_hostile_reason_is_shown_as_text(run: Terminal, registry: Registry) -> None:
    answer = run("assign", "churn@1", "champion", "--reason", HOSTILE)
    assert answer.status == 0
    assert registry.history("churn")[-1].reason == HOSTILE
    for command in (("history", "churn"), ("show", "churn@1")):
        assert f"    {SHOWN}" in run(*command).lines


def test_an_argument_that_is_no_text_is_written_down_as_text(run: Terminal, registry: Registry) -> None:
    assert run("assign", "churn@1", "champion", "--reason", "broken \udcff").status == 0
    assert registry.history("churn")[-1].reason == "broken ?"


def test_hostile_names_of_people_and_values_are_shown_as_text(
    run: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_ACTOR", HOSTILE)
    run("assign", "churn@1", "champion", "--reason", "x")
    hostile = make_dataset(rows=20, city=[HOSTILE, "[/]"] * 10)
    hostile.frame.drop(columns="city").assign(origin=1, city=hostile.frame["city"]).to_parquet("h.parquet")
    answers = [
        run("history", "churn"),
        run("evaluate", "churn@1", "--data", "h.parquet", "--metric", "accuracy", "--slice", "city"),
        run("evaluate", "churn@1", "--data", "\x1b[31m[red].csv", "--metric", "accuracy"),
    ]
    assert [answer.status for answer in answers] == [0, 0, 1]
    for answer in answers:
        assert set("\x1b\x9b\r\u202e").isdisjoint(answer.out + answer.err)
        assert "[red]" in answer.out + answer.err
    assert all(":smile:" in answer.out for answer in answers[:2])


def test_on_a_terminal_only_the_registry_chooses_colours(registry: Registry) -> None:
    registry.assign("churn@1", reason=HOSTILE)
    answer = in_a_process(registry, "registry history churn", FORCE_COLOR="1", TERM="xterm-256color")
    assert answer.returncode == 0
    assert set(re.findall(r"\x1b\[[0-9;]*m", answer.stdout)) == {"\x1b[1m", "\x1b[35m", "\x1b[0m"}
    assert answer.stdout.count("\x1b") == 4  # the head's and the kind's beginning and end
    assert "smile" in answer.stdout


# As a program among programs


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_stops_reading_is_no_error(registry: Registry, form: str) -> None:
    for number in range(8):  # more than a pipe holds
        registry.assign(f"churn@{1 + number % 2}", reason="because " * 1_200)
    answer = in_a_process(registry, f"registry history churn {form} | head -n 1")
    assert (len(answer.stdout.splitlines()), answer.stderr) == (1, "")


def test_reading_commands_load_no_library_that_takes_its_time(registry: Registry) -> None:
    registry.assign("churn@1", reason="start")
    commands = ["models", "versions churn", "show churn@1", "history churn", "resolve churn@champion"]
    program = f"""
import sys
slow = "sklearn pandas prefect scipy matplotlib boto3 pyarrow skops alembic numpy".split()
from registry.cli import app
for command in {commands}:
    app(command.split(), standalone_mode=False)
print("slow:", sorted(set(slow) & set(sys.modules)))
"""
    answer = in_a_process(registry, f"{sys.executable} - <<'END'\n{program}\nEND")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[-1] == "slow: []"


def test_without_a_metric_versions_are_compared_by_those_measured_of_both(
    run: Terminal, registry: Registry, data: str
) -> None:
    for reference in ("churn@1", "churn@2"):
        registry.evaluate(reference, holdout(), metrics=["accuracy"])
    registry.evaluate("churn@2", holdout(), metrics=["balanced_accuracy"])
    compared = run("compare", "churn@2", "churn@1", "--data", data, "--json").json
    metrics = [result["metric"] for result in compared["results"]]
    assert "accuracy" in metrics
    assert "balanced_accuracy" not in metrics


def test_versions_without_a_metric_in_common_are_compared_by_one_that_is_named(
    run: Terminal, registry: Registry, data: str
) -> None:
    registry.register("new", fit(training()), trained_on=training())
    refused = run("compare", "new@1", "new@1", "--data", data)
    assert refused.status == 2
    assert "no metric was measured of both" in refused.err


# Folders


def test_a_folder_is_registered_and_fetched(
    run: Terminal, registry: Registry, data: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"0.5")
    registered = run("register", "forest", "model", "--data", data, "--target", "late")
    assert (registered.status, registered.out) == (0, "model is forest@1\n")
    assert run("fetch", "forest@1", "copy").out == "forest@1 is at copy\n"
    assert (tmp_path / "copy" / "weights").read_bytes() == b"0.5"
    refused = run("fetch", "forest@1", "copy")
    assert (refused.status, refused.error) == (1, "copy can't be written: File exists")
    assert "folder" in run("show", "forest@1").out
    assert registry.versions("forest")[0].serialization == "folder"


# Watching


def observed(run: Terminal, registry: Registry) -> Answer:
    put_in_force(registry, 1, 3)
    return run("observe", "churn@champion", "--metric", "accuracy", "--value", "0.78", "--rows", "200", *DAY)


DAY = ("--batch", "2026-03-01")


def test_an_observation_is_recorded_and_what_is_held_since_is_printed(
    run: Terminal, registry: Registry
) -> None:
    answer = observed(run, registry)
    assert answer.status == 0
    assert answer.words[1][:4] == ["2026-03-01", "churn@3", "200", "0.7800"]
    assert answer.words[1][-1] == "healthy"
    assert "health       champion is healthy by accuracy" in run("show", "churn@3").out


def test_many_batches_come_from_a_file(run: Terminal, registry: Registry, tmp_path: Path) -> None:
    put_in_force(registry, 3)
    (tmp_path / "b.csv").write_text("batch,value,rows,at\nfirst,0.78,200,2026-03-01\nsecond,0.77,100,\n")
    answer = run("observe", "churn@champion", "--metric", "accuracy", "--batches", "b.csv", "--json")
    assert [(row["batch"], row["rows"], row["late"]) for row in answer.json] == [
        ("first", 200, False),
        ("second", 100, False),
    ]


def test_a_second_delivery_with_other_numbers_is_not_taken_and_said_so(
    run: Terminal, registry: Registry
) -> None:
    observed(run, registry)
    again = run("observe", "churn@champion", "--metric", "accuracy", "--value", "0.4", "--rows", "9", *DAY)
    assert again.words[1][3] == "0.7800"
    assert "was recorded before, of churn@3 with 0.78 on 200 rows" in again.err


def test_health_says_what_is_in_force_what_was_seen_and_what_is_waited_for(
    run: Terminal, registry: Registry
) -> None:
    observed(run, registry)
    assert run("health", "churn").lines[0] == "churn@champion is version 3"
    registry.answer(Alert(model="churn", reason="broken", key="1"), RollbackPolicy(served=0))
    after = run("health", "churn").out
    assert "churn@champion is version 1\n" in after
    assert "cooling down after the rollback in entry 3" in after
    assert "nothing was observed of it yet" in after


def test_a_control_chart_is_written_where_it_can_be(
    run: Terminal, registry: Registry, tmp_path: Path
) -> None:
    observed(run, registry)
    run("health", "churn", "--metric", "accuracy", "--chart", "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    refused = run("health", "churn", "--metric", "accuracy", "--chart", "nowhere/chart.png")
    assert (refused.status, "can't be written" in refused.err) == (1, True)


def test_a_metric_that_nobody_observed_is_no_empty_table(run: Terminal, registry: Registry) -> None:
    observed(run, registry)
    refused = run("health", "churn", "--metric", "acuracy")
    assert (refused.status, refused.error) == (1, "nothing was observed of churn@champion by 'acuracy'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--value", "0.5"], "a batch needs all of"),
        ([], "give --value, --rows and --batch"),
        (["--value", "nan", "--rows", "9", *DAY], "its value is nan"),
        (["--batches", "missing.csv"], "No such file"),
        (["--value", "0.5", "--rows", "9", *DAY, "--policy", "missing.toml"], "No such file"),
    ],
)
def test_an_observation_that_can_not_be_is_misuse(
    run: Terminal, registry: Registry, arguments: list[str], words: str
) -> None:
    put_in_force(registry, 3)
    refused = run("observe", "churn@champion", "--metric", "accuracy", *arguments)
    assert refused.status == 2
    assert words in refused.err
    assert registry.health("churn") == []


# As one file


def elements(html: str) -> set[str]:
    return set(re.findall(r"<([a-z0-9]+)", html))


def test_a_card_holds_all_that_is_known_of_a_version(run: Terminal, registry: Registry, data: str) -> None:
    put_in_force(registry, 1)
    run("promote", "churn@3", "--data", data, "--better", "accuracy", "--floor", "accuracy=0.6")
    run("observe", "churn@champion", "--metric", "accuracy", "--value", "0.78", "--rows", "200", *DAY)
    answer = run("card", "churn@champion")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith("<!DOCTYPE html>")
    assert "<title>churn@3</title>" in answer.out
    assert [
        re.sub(" since .*| takes .*|: .*", "", head) for head in re.findall("<h2>(.*)</h2>", answer.out)
    ] == [
        "churn@3",
        "Promoted",
        "churn@champion",
        "Healthy",
    ]
    assert re.search(r"<td[^>]*>0\.\d{4}</td>\s*<td[^>]*>0\.\d{4} … 0\.\d{4}</td>", answer.out)
    assert answer.out.count("data:image/png;base64,") == 3
    assert elements(answer.out).isdisjoint({"script", "link", "a", "iframe"})


def test_a_card_of_a_version_of_which_little_is_known_is_a_card(run: Terminal, registry: Registry) -> None:
    version = registry.register("new", fit(training()), trained_on=training())
    answer = run("card", version.reference)
    assert answer.status == 0
    assert "new@1: nothing was decided about it yet" in answer.out
    assert "It was not evaluated yet" in answer.out
    assert "img" not in elements(answer.out)


def test_a_card_is_written_where_it_can_be(run: Terminal, tmp_path: Path) -> None:
    answer = run("card", "churn@1", "--output", "card.html")
    assert (answer.status, answer.out) == (0, "")
    assert (tmp_path / "card.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    refused = run("card", "churn@1", "--output", "nowhere/card.html")
    assert (refused.status, "nowhere/card.html can't be written" in refused.error) == (1, True)


def test_a_terminal_is_not_filled_with_a_card(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    answer = run("card", "churn@1")
    assert (answer.status, answer.out) == (2, "")
    assert "registry card churn@1 > card.html" in " ".join(answer.err.split())


def test_a_card_of_what_does_not_exist_is_refused_and_nothing_is_written(
    run: Terminal, tmp_path: Path
) -> None:
    answer = run("card", "churn@9", "--output", "card.html")
    assert (answer.status, "model 'churn' has no version 9" in answer.error) == (1, True)
    assert not (tmp_path / "card.html").exists()


def test_hostile_text_is_text_in_a_card(run: Terminal, registry: Registry) -> None:
    registry.assign("churn@1", reason="</td><script>alert(1)</script> ![x](http://example.com/x.png)")
    answer = run("card", "churn@1")
    assert elements(answer.out).isdisjoint({"script", "a"})
    assert "&lt;script&gt;alert(1)" in answer.out
    assert re.findall(r'src="(?!data:image/png)', answer.out) == []


@pytest.mark.long
def test_a_card_is_utf_8_whatever_the_locale(registry: Registry) -> None:
    registry.assign("churn@1", reason="weil es läuft")
    answer = in_a_process(registry, "registry card churn@1", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert answer.returncode == 0, answer.stderr
    assert "weil es läuft" in answer.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch,value,rows\na,0.9,100\nb,high,100\n", "line 3 of b.csv"),
        ("batch,value\na,0.9\n", "no column 'rows'"),
        ("batch,value,rows,at\na,0.9,100,someday\n", "line 2 of b.csv"),
    ],
)
def test_a_bad_line_in_a_file_of_batches_is_named(
    run: Terminal, registry: Registry, text: str, said: str
) -> None:
    Path("b.csv").write_text(text)
    put_in_force(registry, 3)
    refused = run("observe", "churn@champion", "--metric", "accuracy", "--batches", "b.csv")
    assert refused.status == 2
    assert said in refused.err
    assert registry.observations("churn", metric="accuracy") == []
