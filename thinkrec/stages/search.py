"""Command `search`: choose the options of encoders and gbdt on valid, the same budget for each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.sections import Params, Tuned
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from thinkrec.data.tables import Interactions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A finished search of one model.

    Args:
        model: its name.
        values: the winner's options, as params.yaml spells them.
        trials: all trials, best first.
        table: where they are written.
    """

    model: str
    values: dict[str, Any]
    trials: list[FrozenTrial]
    table: Path

    @property
    def tuned(self) -> Tuned:
        """The entry under `tuned.<data set>`."""
        if self.model == "gbdt":
            return Tuned.model_validate({"gbdt": self.values})
        return Tuned.model_validate({"cf": {self.model: self.values}})


def search(layout: Layout, params: Params, models: Sequence[str], trials: int) -> Iterator[Found]:
    """Search the options of each model in turn; yields as each is done.

    The values that params.yaml has are tried as well, so that a winner is no worse on valid; where they lie
    outside the ranges they can't be, which is logged. A search that was cut off goes on; one with a larger
    budget adds trials.

    Raises:
        ConfigError: a model that is not searched.
        MissingInputError: `thinkrec prep` was not run.
        DataError: train or valid has no row, or one class only.
        ModelError: no trial gave a result.
    """
    searched = [*params.cf.models, "gbdt"]
    for name in models:
        if name not in searched:
            raise ConfigError(f"no search for {name!r}; there are {', '.join(searched)}")
    require(layout, "interactions", "users", "items")
    from thinkrec.artifacts.resume import work_key
    from thinkrec.data.classes import check_classes
    from thinkrec.data.tables import Interactions
    from thinkrec.search.study import Study, write_trials

    data = Interactions.load(layout.interactions)
    check_classes(data)
    for name in dict.fromkeys(models):
        objective, first, fixed = _posed(layout, params, data, name)
        if first is None:
            log.warning("%s: the values in params.yaml are outside the ranges and are not tried", name)
        key = work_key(layout, "search", params, name, params.seed, fixed)
        journal = layout.search / f"{name}.jsonl"
        study = Study(name, key, first, params.seed, trials, journal).run(objective)
        table = layout.trials(name)
        yield Found(name, _values(study), write_trials(table, study), table)


def _posed(
    layout: Layout, params: Params, data: Interactions, name: str
) -> tuple[Callable[[optuna.Trial], float], dict[str, Any] | None, dict[str, Any]]:
    """The objective, the first trial, and the settings that stay fixed."""
    from thinkrec.search import space

    tuned = params.tuned.get(layout.dataset)
    if name == "gbdt":
        options = params.baselines.choice(tuned).model_dump()
        fixed = {"choose_by": params.choose_by, "max_iter": options.pop("max_iter")}
        objective = space.gbdt_objective(data, fixed["max_iter"], params.seed, params.choose_by)
        return objective, options if space.in_range(options) else None, fixed
    from thinkrec.cf.examples import Known
    from thinkrec.cf.folder import ENCODERS
    from thinkrec.cf.gsasrec import GSASRec
    from thinkrec.config.sections import EncoderChoice
    from thinkrec.stages.cf import highest_id, schedule_of, shape_of

    cf = params.cf
    users, items = highest_id(layout.users, "user_id"), highest_id(layout.items, "item_id")

    def chosen(width: int = 1, learning_rate: float = 1, weight_decay: float = 0) -> EncoderChoice:
        return EncoderChoice(embedding_size=width, learning_rate=learning_rate, weight_decay=weight_decay)

    objective = space.encoder_objective(
        name,
        data,
        Known.of(data, users, items),
        lambda width: shape_of(cf, chosen(width)),
        lambda rate, decay: schedule_of(cf, chosen(learning_rate=rate, weight_decay=decay)),
        params.seed,
        params.choose_by,
    )
    first = cf.choice(name, tuned).model_dump()
    fixed = cf.model_dump(include={"batch_size", "epochs", "patience", "history_length", "graph_layers"})
    fixed["choose_by"] = params.choose_by
    if issubclass(ENCODERS[name], GSASRec):
        fixed |= cf.model_dump(include={"negatives", "calibration"})
    return objective, first if space.in_range(first) else None, fixed


def _values(study: optuna.Study) -> dict[str, Any]:
    from thinkrec.search.study import short

    return {key: short(value) for key, value in study.best_params.items()}
