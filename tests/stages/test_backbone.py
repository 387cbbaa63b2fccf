"""Stage backbone: what it notes of a folder, and another folder in its place."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from architectures import write_model
from small_chain import Chain

from thinkrec.errors import ModelError
from thinkrec.files import read_json
from thinkrec.stages.backbone import make_backbone
from thinkrec.stages.evaluate import evaluate
from thinkrec.stages.global_ import run as run_global


def test_it_reads_nothing_of_the_data_set(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    for path in (layout.items, layout.interactions, layout.rationales, layout.users):
        path.unlink()
    before = (layout.backbone / "backbone.json").read_bytes()
    facts = make_backbone(layout, chain.params.backbone, chain.params.prompt)
    assert (layout.backbone / "backbone.json").read_bytes() == before
    assert facts == chain.facts["backbone"]
    assert facts["model"] == chain.params.backbone.model and facts["dtype"] == "float32"
    assert [path.name for path in layout.backbone.iterdir()] == ["backbone.json"]


def test_a_model_that_is_refused_leaves_the_note_as_it_was(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    before = (layout.backbone / "backbone.json").read_bytes()
    backbone = chain.params.backbone.model_copy(update={"model": str(tmp_path / "nowhere")})
    with pytest.raises(ModelError, match="can't be loaded"):
        make_backbone(layout, backbone, chain.params.prompt)
    assert (layout.backbone / "backbone.json").read_bytes() == before


def test_another_folder_takes_its_place(chain: Chain, tmp_path: Path) -> None:
    layout, params = chain.copy(tmp_path), chain.params
    write_model(tmp_path / "qwen", "qwen3")
    backbone = params.backbone.model_copy(update={"model": str(tmp_path / "qwen")})
    facts = make_backbone(layout, backbone, params.prompt)
    assert facts["model"] == str(tmp_path / "qwen") and facts["dtype"] == "float32"
    run_global(layout, params)
    section = params.evaluate.model_copy(update={"systems": ["backbone", "global"], "bootstrap_draws": 5})
    evaluate(layout, params.model_copy(update={"evaluate": section, "backbone": backbone}), params.seed)
    scores = [
        pq.read_table(layout.prediction("frozen", name))["score"].to_numpy() for name in section.systems
    ]
    assert abs(scores[0] - scores[1]).max() > 1e-4
    assert {"backbone", "global"} <= set(read_json(layout.metrics)["frozen"])
