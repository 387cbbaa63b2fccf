"""Training ends early where valid does not get better."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from small_chain import Chain

from thinkrec.stages.global_ import run


@pytest.mark.parametrize(("patience", "ends_early"), [(None, False), (1, True)])
def test_training_ends_where_valid_stays_as_it_is(
    chain: Chain, tmp_path: Path, patience: int | None, ends_early: bool
) -> None:
    """With next to no learning rate no checkpoint beats the first."""
    layout, params = chain.copy(tmp_path), chain.params
    training = params.global_.model_copy(
        update={"patience": patience, "evaluations": 6, "learning_rate": 1e-12, "warmup_steps": 0}
    )
    facts = run(layout, params.model_copy(update={"global_": training}))
    with layout.curve("global").open() as file:
        steps = [int(line["step"]) for line in csv.DictReader(file) if line["series"] == "eval_auc"]
    assert facts["chosen_step"] == steps[0]
    assert len(steps) == (2 if ends_early else 6)
