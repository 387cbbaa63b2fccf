"""A study goes on where it was cut off, tries what params.yaml has first, and tells all trials."""

import csv
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from thinkrec.errors import ConfigError, ModelError, StorageError
from thinkrec.search.study import Study, short, write_trials

FIRST = {"x": 0.5, "kind": "a"}


def study(folder: Path, trials: int = 8, **changes: Any) -> Study:
    return Study("toy", changes.get("key", "k"), FIRST, changes.get("seed", 3), trials, folder / "toy.jsonl")


def valley(trial: optuna.Trial) -> float:
    """Highest, 1, at x = 0.1 with kind b."""
    x = trial.suggest_float("x", 0.001, 1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("seconds", 0.1)
    return 1 - (math.log10(x) + 1) ** 2 - (kind == "a")


def tried(found: optuna.Study) -> list[tuple[Any, ...]]:
    return [(t.params["x"], t.params["kind"], t.value) for t in found.trials if t.value is not None]


def cut_off(after: int, error: BaseException) -> Callable[[optuna.Trial], float]:
    """An objective that is interrupted in its trial number `after`, once its values are drawn."""
    calls = iter(range(1000))

    def objective(trial: optuna.Trial) -> float:
        value = valley(trial)
        if next(calls) == after:
            raise error
        return value

    return objective


def test_first_trial_is_what_params_has_and_the_winner_is_the_best(tmp_path: Path) -> None:
    found = study(tmp_path, 20).run(valley)
    assert tried(found)[0][:2] == (0.5, "a")
    assert len(tried(found)) == 20
    assert found.best_value == max(value for *_, value in tried(found)) > 0.5
    assert found.best_params["kind"] == "b"


@pytest.mark.parametrize("after", [0, 3, 7])
def test_cut_off_and_run_again_equals_never_cut_off(tmp_path: Path, after: int) -> None:
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    expected = tried(study(tmp_path / "whole").run(valley))
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "parts").run(cut_off(after, KeyboardInterrupt()))
    assert tried(study(tmp_path / "parts").run(valley)) == expected


@pytest.mark.parametrize("damage", ["garbage", "[]", "{}", "changed", "swapped", "emptied", "random"])
def test_a_damaged_journal_goes_on_from_its_good_lines(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """To the same trials as one that was never damaged; what lies before the damage is not tried again."""
    expected, path = tried(study(tmp_path).run(valley)), tmp_path / "toy.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    half = next(k for k, line in enumerate(lines) if b'"trial_id": 4' in line)
    changed = {
        "garbage": [*lines[:half], b"garbage\n", *lines[half:]],
        "[]": [*lines, b"[]\n"],
        "{}": [*lines[:half], b"{}\n"],
        "changed": [
            *lines[:half],
            lines[half].replace(b'"trial_id": 4', b'"trial_id": 3'),
            *lines[half + 1 :],
        ],
        "swapped": [*lines[:half], lines[half][:20] + b"9" + lines[half][21:]],
        "emptied": [],
        "random": [bytes(range(256))],
    }[damage]
    path.write_bytes(b"".join(changed))
    calls: list[int] = []

    def counted(trial: optuna.Trial) -> float:
        calls.append(trial.number)
        return valley(trial)

    assert tried(study(tmp_path).run(counted)) == expected
    assert len(calls) == {"[]": 0, "emptied": 8, "random": 8}.get(damage, 4)
    assert ("is damaged" in caplog.text) is (damage != "emptied")
    assert tried(study(tmp_path).run(counted)) == expected


@pytest.mark.parametrize("name", ["toy.jsonl", "toy.lock"])
def test_a_pipe_in_the_place_of_journal_or_lock(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(StorageError, match=f"{name}: it is a pipe, not a file; move what is there away"):
        study(tmp_path).run(valley)


def test_a_larger_budget_adds_trials_to_the_same_ones(tmp_path: Path) -> None:
    fewer = tried(study(tmp_path, 4).run(valley))
    more = tried(study(tmp_path, 7).run(valley))
    assert more[:4] == fewer and len(more) == 7
    (tmp_path / "other").mkdir()
    assert tried(study(tmp_path / "other", 7).run(valley)) == more


def test_another_seed_or_key_is_another_search(tmp_path: Path) -> None:
    one = tried(study(tmp_path).run(valley))
    assert tried(study(tmp_path, key="data changed").run(valley)) == one
    (tmp_path / "other").mkdir()
    assert tried(study(tmp_path / "other", seed=4).run(valley))[1:] != one[1:]


def test_other_values_in_params_are_tried_too_and_rounded_ones_not_twice(tmp_path: Path) -> None:
    found = study(tmp_path, 3).run(valley)
    best = {key: short(value) for key, value in found.best_params.items()}
    again = Study("toy", "k", best, 3, 5, tmp_path / "toy.jsonl").run(valley)
    assert len(tried(again)) == 5
    assert sum({key: short(value) for key, value in t.params.items()} == best for t in again.trials) == 1
    other = {"x": 0.25, "kind": "b"}
    last = Study("toy", "k", other, 3, 6, tmp_path / "toy.jsonl").run(valley)
    assert tried(last)[5][:2] == (0.25, "b")


def test_a_slow_learner_that_ends_best_wins(tmp_path: Path) -> None:
    """Its first epochs lie below those of all others."""

    def learned(trial: optuna.Trial) -> float:
        slow = trial.number == 5
        trial.suggest_float("x", 0.001, 1, log=True)
        trial.suggest_categorical("kind", ["a", "b"])
        values = [0.5 + 0.004 * epoch if slow else 0.6 for epoch in range(1, 41)]
        for epoch, value in enumerate(values, 1):
            trial.report(value, epoch)
            if epoch < 20 and trial.should_prune():
                raise optuna.TrialPruned
        return values[-1]

    assert study(tmp_path).run(learned).best_trial.number == 5


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    def again(trial: optuna.Trial) -> float:
        with pytest.raises(ConfigError) as caught:
            study(tmp_path, 1).run(valley)
        assert str(caught.value) == "a search of toy is running in another process: wait until it has ended"
        return valley(trial)

    assert len(tried(study(tmp_path, 2).run(again))) == 2


def test_without_any_result(tmp_path: Path) -> None:
    def pruned(trial: optuna.Trial) -> float:
        valley(trial)
        raise optuna.TrialPruned

    with pytest.raises(ModelError, match=r"^toy: none of 2 trials gave a result"):
        study(tmp_path, 2).run(pruned)


def test_table_holds_every_trial_best_first_pruned_last(tmp_path: Path) -> None:
    def some(trial: optuna.Trial) -> float:
        value = valley(trial)
        if trial.number == 1:
            raise optuna.TrialPruned
        return value

    found = study(tmp_path, 6).run(some)
    path = tmp_path / "reports" / "toy.csv"
    ordered = write_trials(path, found)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["trial", "state", "valid_auc", "seconds", "kind", "x"]
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in ordered]
    values = [float(row["valid_auc"]) for row in rows[:-1]]
    assert values == sorted(values, reverse=True) and len(rows) == 6
    assert (rows[-1]["trial"], rows[-1]["state"], rows[-1]["valid_auc"]) == ("1", "pruned", "")
    assert float(rows[0]["x"]) == pytest.approx(found.best_params["x"], rel=1e-2)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_study import study, valley
def objective(trial):
    value = valley(trial)
    if trial.number == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    return value
study(Path(sys.argv[2])).run(objective)
"""


@pytest.mark.parametrize("after", [0, 5])
def test_killed_for_good_and_run_again(tmp_path: Path, after: int) -> None:
    (tmp_path / "whole").mkdir()
    expected = tried(study(tmp_path / "whole").run(valley))
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), str(after)]
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -9
    assert tried(study(tmp_path).run(valley)) == expected
