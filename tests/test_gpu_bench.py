"""The GPU benchmark script's parameters are valid, and those of `small-gpu` but for the model."""

from __future__ import annotations

from pathlib import Path

import gpu
import pytest

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text


@pytest.mark.parametrize("toy", [False, True])
@pytest.mark.parametrize(("model", "start"), [("smollm2", "smollm2"), ("Qwen/Qwen3-0.6B", None)])
def test_every_model_has_valid_parameters(tmp_path: Path, model: str, start: str | None, toy: bool) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text(Params()), encoding="utf-8")
    gpu.write_params(tmp_path, gpu.values_of(model, toy))
    params = load_params(path)
    assert (params.backbone.model, params.global_.start) == (model, start)
    assert params.prompt.reception and params.evaluate.protocols == ["frozen", "rolling"]
    rates = [each.learning_rate for each in (params.global_, params.experts, params.projector)]
    assert rates == ([3e-4, 2e-4, 3e-4] if start else [1e-3, 3e-4, 1e-3])
    assert params.global_.batch_size == params.projector.batch_size == (48 if toy else 256)
