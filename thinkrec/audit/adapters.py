"""Backbones, adapters and projector: cheap checks, as training them again is too costly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NotRequired

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import TypedDict

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.same import differing, first_few
from thinkrec.cf.tensors import load_vectors
from thinkrec.config.models import Backbone as Options
from thinkrec.config.models import Lora
from thinkrec.config.sections import Params
from thinkrec.data.tables import Items
from thinkrec.demo.tiny import make_tokenizer
from thinkrec.errors import ModelError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import ORIGIN, check_origin
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.projector import Projector
from thinkrec.runs import read_curve, read_facts

_WEIGHTS = "adapter_model.safetensors"
_TOLERANCE = 1e-6  # rounding of AUC in run records


@dataclass(frozen=True)
class _Adapter:
    """An adapter.

    Args:
        stage: the stage that trained it.
        folder: its folder.
        lora: its expected settings.
        layout: its expected prompt layout, "" if it stores none.
    """

    stage: str
    folder: Path
    lora: Lora
    layout: str


class _Chosen(TypedDict):
    """A run record's chosen checkpoint."""

    chosen_step: NotRequired[int]
    valid_auc: NotRequired[float | None]


class _Facts(_Chosen):
    """Facts of a training's run record; for experts by group."""

    groups: NotRequired[dict[str, _Chosen]]


def check_backbone(layout: Layout, params: Params, agent: bool = False) -> list[Check]:
    """Check backbone.json, and for the tiny backbone that the tokenizer follows from the items' texts."""
    name, folder = ("agent-backbone", layout.agent_backbone) if agent else ("backbone", layout.backbone)
    own: Options = params.agent_backbone if agent else params.backbone
    recorded, keys = read_json(folder / "backbone.json"), ("model", "revision", "dtype", "four_bit")
    wrong = differing(recorded, own.model_dump(include=set(keys)))
    faults = [f"backbone.json disagrees about {first_few(wrong)}"] if wrong else []
    advice = f"run `thinkrec {name}` again, if params.yaml has changed since"
    claim = "the one that params.yaml names"
    checks = [judged(name, claim, faults and [*faults, advice], f"{own.model}; weights are not made again")]
    if recorded["model"] != "tiny" or agent:
        return checks
    items = Items.load(layout.items, layout.keywords)
    table = pq.read_table(layout.items, columns=["item_id", "description"]).sort_by("item_id")
    texts = [text or "" for text in table["description"].to_pylist()]
    tokenizer = make_tokenizer(items, texts, params.prompt, own.tiny.vocabulary)
    with TemporaryDirectory() as folder_again:
        tokenizer.save_pretrained(folder_again)
        files = sorted(Path(folder_again).iterdir())
        changed = [path.name for path in files if _content(path) != _content(folder / path.name)]
    faults = [f"{', '.join(changed)} come out differently", advice] if changed else []
    summary = f"{len(tokenizer):,} tokens, trained again: equal"
    return [*checks, judged(name, "tokenizer of the items' texts alone", faults, summary)]


def _content(path: Path) -> Any:
    """Read a tokenizer file without its padding and truncation settings; None if it is missing."""
    if not path.exists():
        return None
    if path.suffix != ".json":
        return path.read_bytes()
    content = read_json(path)
    return {key: value for key, value in content.items() if key not in ("padding", "truncation")}


def check_adapters(layout: Layout, params: Params) -> list[Check]:
    """Check global and experts: backbone, settings, and that experts change their last layers only."""
    adapters = [_Adapter("global", layout.global_adapter, params.global_.lora, params.prompt.layout)]
    experts = sorted(
        (path for path in layout.experts.glob("*") if path.name.isdecimal()), key=lambda p: int(p.name)
    )
    adapters += [_Adapter("experts", path, params.global_.lora, params.prompt.layout) for path in experts]
    adapters = [each for each in adapters if each.folder.exists()]
    backbone = _small_backbone(layout.backbone)
    checks = [_settings(each, backbone, layout) for each in adapters]
    if layout.global_adapter.exists() and experts:
        checks.append(_check_experts(layout, experts, params.experts.last_layers))
    if layout.clusters.exists() and experts:
        groups = len(read_json(layout.clusters / "clusters.json")["sizes"])
        faults, names = [], [path.name for path in experts]
        if names != [str(k + 1) for k in range(groups)]:
            faults.append(f"experts {', '.join(names)} of {groups} groups: run `thinkrec experts` again")
        checks.append(judged("experts", "one a group", faults, f"{groups} groups"))
    return checks


def check_agents(layout: Layout, params: Params) -> list[Check]:
    """Check the agent's adapters: their backbone and settings."""
    backbone = _small_backbone(layout.agent_backbone)
    places = {"agent-sft": layout.agent_sft, "agent-grpo": layout.agent_grpo}
    return [
        _settings(_Adapter(stage, folder, params.agent_sft.lora, ""), backbone, layout)
        for stage, folder in places.items()
        if folder.exists()
    ]


def _small_backbone(folder: Path) -> Backbone | None:
    """Load the backbone if it is the tiny one."""
    path = folder / "backbone.json"
    return load_backbone(folder) if path.exists() and read_json(path)["model"] == "tiny" else None


def _settings(adapter: _Adapter, backbone: Backbone | None, layout: Layout) -> Check:
    folder = adapter.folder
    own = folder.name if folder.name.isdecimal() else ""
    name = f"{adapter.stage} {own}".strip()
    config, faults = read_json(folder / "adapter_config.json"), []
    lora = adapter.lora
    expected = {"r": lora.rank, "lora_alpha": lora.alpha, "target_modules": sorted(lora.target_modules)}
    wrong = differing({key: config.get(key) for key in expected}, expected)
    faults += [f"adapter_config.json disagrees about {first_few(wrong)}"] if wrong else []
    origin = read_json(folder / ORIGIN) if (folder / ORIGIN).exists() else {}
    if not origin:
        faults.append(f"{ORIGIN} does not say what it was trained on")
    elif adapter.layout and origin.get("layout") != adapter.layout:
        faults.append(f"it was trained with prompt.layout {origin.get('layout')}, not {adapter.layout}")
    if origin and backbone is not None:
        try:
            check_origin(folder, backbone)
        except ModelError:
            faults.append(f"it was trained on another backbone ({origin.get('model')})")
    invalid = [key for key, value in load_file(folder / _WEIGHTS).items() if not torch.isfinite(value).all()]
    faults += fault(len(invalid), "weights are no numbers")
    faults += _check_curve(layout, adapter.stage)
    summary = "settings, layout of prompts and curve" + (", and backbone" if backbone else "")
    advice = f"run `thinkrec {adapter.stage}` again, if params.yaml has changed since"
    claim = f"{name}: trained on this backbone, as params.yaml says"
    return judged(
        adapter.stage, claim, faults and [*faults, advice], f"{summary}; weights are not trained again"
    )


def _check_curve(layout: Layout, stage: str) -> list[str]:
    """Compare the chosen checkpoint's AUC in the run record with the curve, if both exist."""
    rows, facts = read_curve(layout, stage), read_facts(layout, stage, _Facts)
    if not rows or facts is None:
        return []
    chosen: dict[str, _Chosen] = facts.get("groups") or {"": facts}
    values = {(row["model"], row["step"]): float(row["value"]) for row in rows if row["series"] == "eval_auc"}
    faults = []
    for number, entry in chosen.items():
        step, auc = entry.get("chosen_step"), entry.get("valid_auc")
        if step is None or auc is None:
            continue
        name = f"expert {number}" if number else stage
        own = values.get((name, str(step)))
        if own is None or abs(own - auc) > _TOLERANCE:
            record, curve = layout.record(stage), layout.curve(stage)
            faults.append(f"{record} says valid AUC {auc} of {name} at step {step}, {curve} says {own}")
    return faults


def _check_experts(layout: Layout, experts: list[Path], last: int) -> Check:
    """Check that every expert equals the global adapter below its last layers."""
    start = load_file(layout.global_adapter / _WEIGHTS)
    layers = 1 + max(_layer(key) for key in start)
    faults = []
    for path in experts:
        own = load_file(path / _WEIGHTS)
        if own.keys() != start.keys():
            faults.append(f"expert {path.name} adapts other layers than global")
            continue
        moved = [
            key for key in start if _layer(key) < layers - last and not torch.equal(own[key], start[key])
        ]
        faults += [f"expert {path.name} differs from global below its last {last} layers"] if moved else []
    faults = faults and [*faults, "run `thinkrec experts` again"]
    summary = f"{layers - last} layers of {len(experts)} experts are global's, in every bit"
    return judged("experts", "grown from global, in their last layers only", faults, summary)


def _layer(key: str) -> int:
    return int(key.split(".layers.")[1].split(".")[0])


def check_projector(layout: Layout, params: Params) -> Check:
    """Check the projector's size, and that it standardises by the vectors on disk."""
    projector = Projector.load(layout.projector)
    if not layout.encoder(params.cluster.encoder).exists():
        why = f"{layout.encoder(params.cluster.encoder)} is not there: `thinkrec cf` makes it"
        return skipped("projector", "standardises by the encoder's vectors", why)
    vectors = load_vectors(layout.encoder(params.cluster.encoder))
    expected = Projector(projector.config["width"], projector.config["hidden"], projector.config["expansion"])
    faults = (
        [] if projector.config["width"] == vectors.user.shape[1] else ["it is for vectors of another width"]
    )
    if projector.config["expansion"] != params.projector.expansion:
        faults.append(
            f"expansion is {projector.config['expansion']}, params.yaml says {params.projector.expansion}"
        )
    if not faults:
        expected.standardise(torch.cat([vectors.user, vectors.item]))
        for name in ("mean", "spread"):
            actual: Tensor = getattr(projector, name)
            if not torch.allclose(actual, getattr(expected, name), rtol=1e-4, atol=1e-6):
                faults.append(f"{name} is not that of the vectors of {params.cluster.encoder}")
    faults += (
        []
        if all(torch.isfinite(value).all() for value in projector.state_dict().values())
        else ["weights are no numbers"]
    )
    faults += _check_curve(layout, "projector")
    claim = f"standardises by the vectors of {params.cluster.encoder}"
    summary = "the same mean and spread; weights are not trained again"
    return judged("projector", claim, faults and [*faults, "run `thinkrec projector` again"], summary)
