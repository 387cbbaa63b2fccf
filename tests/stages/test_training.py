"""The stages that train on the language model: what they read, what they leave, and killed runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from small_chain import Chain

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.experts.cluster import cluster_users
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm import trainer
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.batches import Example, Target, targets_of
from thinkrec.stages import cf, experts, global_, projector
from thinkrec.stages.global_ import plan_global
from thinkrec.stages.synthesize import synthesize

Run = Callable[[Layout, Params], Any]
STAGES: dict[str, Run] = {
    "global": global_.run,
    "experts": experts.run,
    "projector": projector.run,
}
WEIGHTS = {
    "global": "models/demo/adapters/thinkrec/global/adapter_model.safetensors",
    "experts": "models/demo/adapters/thinkrec/experts/2/adapter_model.safetensors",
    "projector": "models/demo/adapters/thinkrec/projector/projector.safetensors",
}


class KilledError(Exception):
    """Stands for the end of the process."""


def updated(params: Params, section: str, **values: Any) -> Params:
    """Change values of a section, or with "" those outside all sections."""
    if not section:
        return params.model_copy(update=values)
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def plant(layout: Layout) -> None:
    """Turn every valid and test label, and change every item that was met after train."""
    table = pq.read_table(layout.interactions)
    later = table["split"].to_numpy(zero_copy_only=False) != "train"
    label, item = table["label"].to_numpy(), table["item_id"].to_numpy()
    for name, values in (
        ("label", np.where(later, 1 - label, label)), ("item_id", np.where(later, item % 60 + 1, item)),
    ):  # fmt: skip
        kind = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), kind, pa.array(values, kind.type))
    pq.write_table(table, layout.interactions)


def digests(root: Path) -> dict[str, str]:
    """Hash of every weights and groups file below `root`."""
    files = [*root.rglob("*.safetensors"), *root.rglob("groups.parquet")]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def train_rationales(layout: Layout) -> list[dict[str, Any]]:
    return [row for row in pq.read_table(layout.rationales).to_pylist() if row["split"] == "train"]


def read_samples(
    run: Run, layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Example], list[Target]]:
    """The samples a stage would train on, and those on which it would choose the checkpoint."""
    taken: list[Any] = []

    def take(model: Any, examples: list[Example], task: trainer.Task, *_: Any, **__: Any) -> Any:
        taken.extend([examples, [target for _, row in task.valid.rows for target in targets_of(row)]])
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train", take)
        with pytest.raises(KilledError):
            run(layout, params)
    return taken[0], taken[1]


@pytest.mark.parametrize("stage", STAGES)
def test_only_train_rows_are_trained_on(
    chain: Chain, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layout = chain.copy(tmp_path)
    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    samples, valid = read_samples(STAGES[stage], layout, chain.params, monkeypatch)
    rows = np.array([sample.row for sample in samples])
    assert (data.split[rows] == 0).all()
    assert (data.split[[sample.row for sample in valid]] == 1).all()
    assert any(sample.ce > sample.bce for sample in samples)
    for sample in samples:
        assert sample.label == data.label[sample.row]
        assert sample.ids[sample.start] == loaded.answers[0 if sample.label else 1]

    plant(layout)
    again, _ = read_samples(STAGES[stage], layout, chain.params, monkeypatch)
    assert again == samples


def test_no_label_or_item_after_train_reaches_any_weight(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One checkpoint a run and one share, so that valid has nothing to choose, which it may."""
    monkeypatch.setattr("thinkrec.metrics.damping.DAMPING_GRID", np.zeros(1))
    params = updated(chain.params, "cf", epochs=1)
    for section in ("global_", "experts", "projector"):
        params = updated(params, section, evaluations=1, epochs=0.1)
    found = []
    for name, planted in (("clean", False), ("planted", True)):
        layout = chain.copy(tmp_path / name)
        shutil.rmtree(layout.baselines)  # whose files keep their AUC on valid
        if planted:
            plant(layout)
        synthesize(layout, params.synthesize, params.prompt, "frozen", params.seed)
        cf.run(layout, params)
        cluster_users(layout, params.cluster, params.seed)
        for run in STAGES.values():
            run(layout, params)
        found.append((digests(layout.models), train_rationales(layout)))
    (clean, said), (planted_files, planted_said) = found
    # backbone, 4 encoders of 2 and a further seed's, groups, means, global, 2 experts, projector
    assert len(clean) == 18
    assert planted_files == clean
    assert planted_said == said


def test_adapters_load_in_plain_peft_and_differ(chain: Chain) -> None:
    layout = chain.layout
    model = PeftModel.from_pretrained(load_backbone(layout.backbone).model, str(layout.global_adapter))
    assert isinstance(model, PeftModel)
    config = read_json(layout.global_adapter / "adapter_config.json")
    assert config["base_model_name_or_path"] is None  # no path of this machine
    first = load_file(layout.global_adapter / "adapter_model.safetensors")
    for group in (1, 2):
        expert = load_file(layout.expert(group) / "adapter_model.safetensors")
        assert expert.keys() == first.keys()
        changed = {int(name.split(".layers.")[1][0]) for name in first if not expert[name].equal(first[name])}
        assert changed == {1, 2}  # last_layers is 2 of 3


def test_the_last_layers_of_global_can_train_alone(chain: Chain) -> None:
    training = chain.params.global_.model_copy(update={"last_layers": 1})
    plan = plan_global(chain.layout, chain.params.model_copy(update={"global_": training}))
    names = [name for name, weight in plan.model.named_parameters() if weight.requires_grad]
    assert {name.split(".layers.")[1].partition(".")[0] for name in names} == {"2"}
    assert all("lora_" in name for name in names)


def test_a_finished_stage_leaves_weights_and_a_curve_only(chain: Chain) -> None:
    assert not list((chain.layout.models / ".work").rglob("*.safetensors"))
    names = sorted(path.name for path in chain.layout.global_adapter.iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "backbone.json"]
    for stage in STAGES:
        header, *lines = chain.layout.curve(stage).read_text().splitlines()
        assert header == "model,step,series,value"
        series = {line.split(",")[2] for line in lines}
        assert {"loss", "bce", "reasoning_ce", "recommendation_ce", "eval_auc", "eval_uauc"} <= series


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """A function: training ends as if killed once this checkpoint is written."""

    def stop(step: int) -> Any:
        real = trainer._Joint._save_checkpoint

        def save(self: Any, *args: Any, **options: Any) -> None:
            real(self, *args, **options)
            if self.state.global_step >= step:
                raise KilledError

        patch = pytest.MonkeyPatch()
        patch.setattr(trainer._Joint, "_save_checkpoint", save)
        return patch

    return stop


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    chain: Chain, stage: str, stopped: Callable[[int], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    section = {"global": "global_"}.get(stage, stage)
    params = updated(chain.params, section, evaluations=3, epochs=0.2)
    whole, broken = chain.copy(tmp_path / "whole"), chain.copy(tmp_path / "broken")
    STAGES[stage](whole, params)
    before = digests(broken.models)
    patch = stopped(1)
    with pytest.raises(KilledError):
        STAGES[stage](broken, params)
    patch.undo()
    assert list(broken.work(stage).rglob("checkpoint-*"))
    assert {name: before[name] for name in before} == {
        name: found for name, found in digests(broken.models).items() if not name.startswith(".work")
    }
    with caplog.at_level("INFO", "thinkrec.llm.trainer"):
        STAGES[stage](broken, params)
    assert any("resuming from" in message for message in caplog.messages)
    one, other = (load_file(each.root / WEIGHTS[stage]) for each in (whole, broken))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-5)
    assert not broken.work(stage).exists()


OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("global", "global_", {"learning_rate": 0.02}), ("global", "prompt", {"keywords": 2}),
    ("experts", "experts", {"last_layers": 1}), ("experts", "", {"choose_by": "rolling"}),
    ("projector", "projector", {"expansion": 3}),
]  # fmt: skip


def early(params: Params) -> Params:
    """The first checkpoint comes soon, and is chosen on few rows."""
    for section in ("global_", "experts", "projector"):
        params = updated(params, section, evaluations=6, valid_rows=8)
    return params


@pytest.mark.parametrize(("stage", "section", "values"), OTHERS, ids=str)
def test_another_parameter_starts_anew(
    chain: Chain, stage: str, section: str, values: dict[str, Any], stopped: Callable[[int], Any],
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    layout = chain.copy(tmp_path)
    patch = stopped(1)
    try:
        for params in (early(chain.params), updated(early(chain.params), section, **values)):
            with caplog.at_level("INFO", "thinkrec.llm.trainer"), pytest.raises(KilledError):
                STAGES[stage](layout, params)
        assert not [message for message in caplog.messages if "resuming" in message]
        assert len(list(layout.work(stage).iterdir())) == 2
    finally:
        patch.undo()


@pytest.mark.parametrize("change", ["loss", "gate", "items"])
def test_what_prompts_losses_and_fusion_are_made_of_starts_anew_too(
    chain: Chain, change: str, stopped: Callable[[int], Any], tmp_path: Path
) -> None:
    layout, params = chain.copy(tmp_path), early(chain.params)
    patch = stopped(1)
    stage = "experts" if change == "loss" else "projector"
    try:
        with pytest.raises(KilledError):
            STAGES[stage](layout, params)
        if change == "loss":
            params = updated(params, "loss", score="yes_logit")
        elif change == "gate":
            params = updated(params, "gate", temperature=0.1)
        else:
            table = pq.read_table(layout.items)
            titles = pa.array([f"{title} again" for title in table["title"].to_pylist()])
            place = table.schema.get_field_index("title")
            pq.write_table(table.set_column(place, "title", titles), layout.items)
        with pytest.raises(KilledError):
            STAGES[stage](layout, params)
        assert len(list(layout.work(stage).iterdir())) == 2
    finally:
        patch.undo()


SCRIPT = """
import sys
import time
from pathlib import Path
from thinkrec.config.sections import Params
from thinkrec.layout import Layout
from thinkrec.stages.global_ import run
params = Params.model_validate_json(sys.argv[2])
run(Layout("demo", Path(sys.argv[1])), params)
"""


@pytest.mark.slow
def test_kill_9_in_a_process_loses_nothing(chain: Chain, tmp_path: Path) -> None:
    params = updated(chain.params, "global_", evaluations=4, epochs=0.5)
    whole, broken = chain.copy(tmp_path / "whole"), chain.copy(tmp_path / "broken")
    before = digests(broken.global_adapter)
    STAGES["global"](whole, params)
    command = [sys.executable, "-c", SCRIPT, str(broken.root), params.model_dump_json(by_alias=True)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while running.poll() is None and not list(broken.work("global").rglob("trainer_state.json")):
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert digests(broken.global_adapter) == before
    STAGES["global"](broken, params)
    one, other = (load_file(each.root / WEIGHTS["global"]) for each in (whole, broken))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-5)
