"""Scores, losses and weights that are not finite end a stage with a ModelError, whatever the model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from thinkrec.agent import sft
from thinkrec.agent.ranking import ranks
from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, fit_gbdt
from thinkrec.data.tables import Interactions
from thinkrec.errors import ModelError
from thinkrec.llm.projector import Projector
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec_cli.main import run


def board() -> Interactions:
    rng = np.random.default_rng(0)
    user, position = np.repeat(np.arange(1, 61), 30), np.tile(np.arange(30), 60)
    item = rng.integers(1, 41, 1800)
    split = np.tile(np.repeat([0, 1, 2], [20, 5, 5]), 60).astype(np.int8)
    label = (user % 2 == item % 2).astype(np.int64)
    return Interactions(user, item, label, position * 60, position, split, np.ones(1800, dtype=bool))


@pytest.mark.parametrize("rate", [1e39, 1e308])
def test_trees(rate: float) -> None:
    """Without the bound that params.yaml sets."""
    data = board()
    matrix, _ = features(data, np.arange(len(data)))
    with pytest.raises(ModelError, match=r"^gbdt: scores are not finite"):
        fit_gbdt(data, matrix, Boosting(rate, 7, 0.0, 3), 7)


def test_encoders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command line: valid's scores are finite here, but for the loss."""
    from test_odd_files import SMALL

    from thinkrec.cf import trainer
    from thinkrec.config.write import params_text

    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params_text(SMALL), encoding="utf-8")
    assert run(["fetch", "demo"]) == run(["prep", "--dataset", "demo"]) == 0
    for loss in (float("nan"), float("inf")):
        monkeypatch.setattr(trainer, "_epoch", lambda *_, loss=loss: loss)
        capsys.readouterr()
        assert run(["cf", "--dataset", "demo"]) == 6
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert said == [
            "error: mf: scores, losses or weights are not finite after epoch 1: the training diverged; lower "
            "its learning_rate under cf.encoders.mf or tuned in params.yaml"
        ]
        assert not Path("models/demo/cf").exists()


def test_projector(tmp_path: Path) -> None:
    made = Projector(4, 8, 2)
    with torch.no_grad():
        made.last.bias[0] = torch.nan
    with pytest.raises(ModelError, match=r"^the projector's weights are not finite"):
        made.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Run:
    """A trainer as `sft.run` uses it."""

    def __init__(self, weight: float, loss: float) -> None:
        self.model = nn.Linear(1, 1)
        nn.init.constant_(self.model.weight, weight)
        self.state = SimpleNamespace(log_history=[{"loss": 1.0}, {"eval_loss": loss}])
        self.accelerator = SimpleNamespace(wait_for_everyone=lambda: None)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def test_agents(tmp_path: Path) -> None:
    assert len(sft.run(Run(1.0, 0.5), tmp_path, "sft, seed 7")) == 2
    for weight, loss in ((float("nan"), 0.5), (float("inf"), 0.5), (1.0, float("nan"))):
        with pytest.raises(ModelError, match=r"^sft, seed 7: losses or weights are not finite"):
            sft.run(Run(weight, loss), tmp_path, "sft, seed 7")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores(bad: float) -> None:
    with pytest.raises(ModelError, match="a score must be a finite number"):
        ranking_metrics(np.ones(2, dtype=np.int64), np.array([0, 1]), np.array([0.0, bad]))
    case: Any = SimpleNamespace(items=[1, 2], target=0)
    if bad != -np.inf:  # which says that an item is not ranked
        with pytest.raises(ModelError, match="are NaN or infinite: train the system again"):
            ranks(np.array([[0.0, bad]]), [case])
