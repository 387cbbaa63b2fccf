"""A study of one model: trials that can be killed at any moment and go on to the same winner."""

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
_PRUNED_FROM, _WARM_UP = 4, 20
"""A trial may be stopped from its 20th epoch on, once four others have ended: slow learners get time."""
Objective = Callable[[optuna.Trial], float]


@dataclass(frozen=True)
class Study:
    """What one model's search is about.

    Args:
        model: its name.
        key: of data and fixed settings; trials under another key are not taken up.
        first: the values tried first, those that params.yaml has; None where they lie outside the ranges.
        seed: of the sampler.
        trials: the budget: trials that end, pruned ones included.
        journal: file of what was done for all trials, for resuming.
    """

    model: str
    key: str
    first: dict[str, Any] | None
    seed: int
    trials: int
    journal: Path

    def run(self, objective: Objective) -> optuna.Study:
        """Run the trials that are missing; those of an earlier, killed run count.

        Each trial's sampler is seeded by (seed, trials ended), so that a resumed search tries what one
        that was never killed would have tried.

        Raises:
            ConfigError: another process runs this search.
            ModelError: no trial came to a result.

        Source: tree-structured Parzen estimator and median pruning, as Optuna has them.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.journal.with_suffix(".lock"), self.model):
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
                bar.set_postfix(best=_shown(study))
        if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            raise ModelError(f"{self.model}: none of {ended} trials gave a result; see their table")
        return study

    def _tries_first(self, trial: FrozenTrial) -> bool:
        values = trial.params or trial.system_attrs.get("fixed_params", {})
        return {key: short(value) for key, value in values.items()} == self.first

    def _opened(self) -> optuna.Study:
        study = optuna.create_study(
            storage=JournalStorage(_Operations(Journal(self.journal))),
            study_name=f"{self.model}-{self.key}",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(_PRUNED_FROM, _WARM_UP),
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            log.info("%s: trial %d was cut off and is tried again", self.model, trial.number)
            study.tell(trial.number, state=TrialState.FAIL)
        known = study.get_trials(deepcopy=False, states=(*_ENDED, TrialState.WAITING))
        if self.first and not any(self._tries_first(trial) for trial in known):
            study.enqueue_trial(self.first)
        return study


class _Operations(BaseJournalBackend):
    """What Optuna did, one operation a line, each on what those before it left; this process alone has it.

    Args:
        journal: of all operations.
    """

    def __init__(self, journal: Journal) -> None:
        """Read what is there, up to the first damaged line."""
        self._journal = journal
        self._done: list[dict[str, Any]] = journal.read_start(json.loads)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The operations from this number on."""
        return self._done[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep further operations."""
        lines = [json.dumps(each) for each in logs]
        self._journal.add(lines)
        self._done += map(json.loads, lines)


@contextmanager
def _alone(path: Path, model: str) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends."""
    check_regular_file(path)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"a search of {model} is running in another process: wait until it has ended"
            raise ConfigError(said) from None
        yield


def short(value: Any) -> Any:
    """Numbers to three digits: what is tried is what params.yaml will say."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _shown(study: optuna.Study) -> str:
    known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return f"{study.best_value:.4f}" if known else "-"


def write_trials(path: Path, study: optuna.Study) -> list[FrozenTrial]:
    """Write all ended trials, best first, as CSV: state, valid AUC, seconds, what was noted, options.

    Returns:
        The trials in that order; pruned ones last.
    """
    trials = sorted(
        study.get_trials(deepcopy=False, states=_ENDED),
        key=lambda trial: (trial.state != TrialState.COMPLETE, -(trial.value or 0), trial.number),
    )
    noted = sorted({name for trial in trials for name in trial.user_attrs})
    options = sorted({name for trial in trials for name in trial.params})
    rows = [
        [
            trial.number,
            trial.state.name.lower(),
            "" if trial.value is None else round(trial.value, 6),
            *(trial.user_attrs.get(name, "") for name in noted),
            *(short(trial.params.get(name, "")) for name in options),
        ]
        for trial in trials
    ]
    write_csv(path, ["trial", "state", "valid_auc", *noted, *options], rows)
    return trials
