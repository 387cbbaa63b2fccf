"""Resumable studies: a study that was killed and resumed finds the same best trial."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from thinkrec.errors import ConfigError, ModelError
from thinkrec.files import check_regular_file, write_csv
from thinkrec.journal import Journal
from thinkrec.progress import Bar

log = logging.getLogger(__name__)
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_RANDOM_TRIALS = 5
_PRUNING_STARTUP, _PRUNING_WARMUP = 4, 20
"""Trials may be pruned from their 20th epoch on, after four trials, to give slow learners time."""
Objective = Callable[[optuna.Trial], float]


@dataclass(frozen=True)
class Study:
    """The search of one model.

    Args:
        model: its name.
        key: fingerprint of data and fixed settings; trials with another key are ignored.
        first: values to try first, those of params.yaml; None if they are outside the ranges.
        seed: random seed of the sampler.
        trials: number of finished trials, including pruned ones.
        journal: file of Optuna's operations, for resuming.
    """

    model: str
    key: str
    first: dict[str, Any] | None
    seed: int
    trials: int
    journal: Path

    def run(self, objective: Objective) -> optuna.Study:
        """Run the remaining trials.

        Each trial's sampler is seeded with (seed, trials ended), so that a resumed search equals an
        uninterrupted one.

        Raises:
            ConfigError: another process is running this search.
            ModelError: no trial gave a result.

        Source: Optuna's tree-structured Parzen estimator and median pruner.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.journal.with_suffix(".lock"), self.model):
            return self._run(self._opened(), objective)

    def _run(self, study: optuna.Study, objective: Objective) -> optuna.Study:
        ended = len(study.get_trials(deepcopy=False, states=_ENDED))
        with Bar(
            total=self.trials, initial=min(ended, self.trials), desc=f"search {self.model}", unit="trial"
        ) as bar:
            while ended < self.trials:
                entropy = np.random.SeedSequence([self.seed, ended]).generate_state(1)
                study.sampler = optuna.samplers.TPESampler(
                    n_startup_trials=_RANDOM_TRIALS, seed=int(entropy[0])
                )
                study.optimize(objective, n_trials=1)
                ended += 1
                bar.update()
                bar.set_postfix(best=_best_value(study))
        if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            raise ModelError(f"{self.model}: none of {ended} trials gave a result; see their table")
        return study

    def _is_first(self, trial: FrozenTrial) -> bool:
        values = trial.params or trial.system_attrs.get("fixed_params", {})
        return {key: short(value) for key, value in values.items()} == self.first

    def _opened(self) -> optuna.Study:
        study = optuna.create_study(
            storage=JournalStorage(_Operations(Journal(self.journal))),
            study_name=f"{self.model}-{self.key}",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(_PRUNING_STARTUP, _PRUNING_WARMUP),
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            log.info("%s: trial %d was interrupted and is run again", self.model, trial.number)
            study.tell(trial.number, state=TrialState.FAIL)
        known = study.get_trials(deepcopy=False, states=(*_ENDED, TrialState.WAITING))
        if self.first and not any(self._is_first(trial) for trial in known):
            study.enqueue_trial(self.first)
        return study


class _Operations(BaseJournalBackend):
    """Optuna's storage backend: a journal of operations, used by this process only.

    Args:
        journal: of all operations.
    """

    def __init__(self, journal: Journal) -> None:
        """Read the journal up to the first damaged line."""
        self._journal = journal
        self._operations: list[dict[str, Any]] = journal.read_start(json.loads)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the operations from a number on."""
        return self._operations[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations."""
        lines = [json.dumps(each) for each in logs]
        self._journal.add(lines)
        self._operations += map(json.loads, lines)


@contextmanager
def _locked(path: Path, model: str) -> Iterator[None]:
    """Hold a lock that the system frees when the process ends."""
    check_regular_file(path)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"a search of {model} is running in another process: wait until it has ended"
            raise ConfigError(message) from None
        yield


def short(value: Any) -> Any:
    """Round floats to three digits, so that tried values can be written to params.yaml."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _best_value(study: optuna.Study) -> str:
    known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return f"{study.best_value:.4f}" if known else "-"


def write_trials(path: Path, study: optuna.Study) -> list[FrozenTrial]:
    """Write all finished trials as CSV, best first, pruned ones last: state, valid AUC, attributes, options.

    Returns:
        The trials in that order.
    """
    trials = sorted(
        study.get_trials(deepcopy=False, states=_ENDED),
        key=lambda trial: (trial.state != TrialState.COMPLETE, -(trial.value or 0), trial.number),
    )
    attributes = sorted({name for trial in trials for name in trial.user_attrs})
    options = sorted({name for trial in trials for name in trial.params})
    rows = [
        [
            trial.number,
            trial.state.name.lower(),
            "" if trial.value is None else round(trial.value, 6),
            *(trial.user_attrs.get(name, "") for name in attributes),
            *(short(trial.params.get(name, "")) for name in options),
        ]
        for trial in trials
    ]
    write_csv(path, ["trial", "state", "valid_auc", *attributes, *options], rows)
    return trials
