"""What is trained on the language model: too costly to train again, so what can be checked cheaply."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired

import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import TypedDict

from thinkrec.artifacts.shared import LEFT_OUT
from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.same import differing, first_few
from thinkrec.cf.tensors import load_vectors
from thinkrec.config.models import Backbone as Options
from thinkrec.config.models import Lora
from thinkrec.config.sections import Params
from thinkrec.errors import MissingInputError, ModelError
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import ORIGIN, check_origin
from thinkrec.llm.backbone import SMALL, Backbone, count_weights, load_backbone, source_of
from thinkrec.llm.projector import Projector
from thinkrec.runs import read_curve, read_facts
from thinkrec.variants import DEFAULT, VARIANTS

_WEIGHTS = "adapter_model.safetensors"
_ROUNDED = 1e-6  # what a record's rounded AUC may differ by


@dataclass(frozen=True)
class _Adapter:
    """One adapter of a stage.

    Args:
        stage: that trained it.
        folder: where it lies.
        lora: what it should be like.
        layout: of prompts, "" where it notes none.
    """

    stage: str
    folder: Path
    lora: Lora
    layout: str


class _Chosen(TypedDict):
    """The chosen checkpoint in a run record."""

    chosen_step: NotRequired[int]
    valid_auc: NotRequired[float | None]


class _Facts(_Chosen):
    """What the record of a training says; the experts' of each group, and that of each further seed."""

    groups: NotRequired[dict[str, _Chosen]]
    seeds: NotRequired[dict[str, _Facts]]


def check_backbone(layout: Layout, params: Params, agent: bool = False) -> list[Check]:
    """Check what backbone.json says."""
    name, folder = ("agent-backbone", layout.agent_backbone) if agent else ("backbone", layout.backbone)
    own: Options = params.agent_backbone if agent else params.backbone
    wanted = own.model_dump(include={"model", "revision", "dtype", "load_in_4bit"})
    if wanted["dtype"] == "auto":  # what it meant on the machine where the stage ran
        del wanted["dtype"]
    if not agent:
        wanted["verdicts"] = params.prompt.verdicts
    found = read_json(folder / "backbone.json")
    if found.get("origin"):  # it has no revision of the user's
        del wanted["revision"]
    wrong = differing({key: found.get(key) for key in wanted}, wanted)
    faults = [f"backbone.json disagrees about {first_few(wrong)}"] if wrong else []
    advice = f"run `thinkrec {name}` again, if params.yaml has changed since"
    claim = "the one that params.yaml names"
    return [judged(name, claim, faults and [*faults, advice], f"{own.model}; weights are not made again")]


def check_adapters(layout: Layout, params: Params) -> list[Check]:
    """Check global and experts of each variant: backbone, settings, and that only last layers moved.

    Those of further seeds are checked likewise, and that none of these was selected.
    """
    checks = []
    for place in variants_there(layout):
        own = params.of_variant(place.variant)
        for each in (place, *map(place.of_seed, place.seeds)):
            checks += _of_variant(each, own)
        if place.seeds or own.seeds > 1:
            checks.append(_seeds(place, own))
    return checks


def _seeds(layout: Layout, params: Params) -> Check:
    """Every part was trained with the seeds that follow the first."""
    wanted = [str(params.seed + k) for k in range(1, params.seeds)]
    faults = []
    for stage in ("global", "experts", "projector"):
        folder = layout.adapters / layout.variant / stage
        if not folder.exists() or (folder / LEFT_OUT).exists():
            continue
        names = (path.name for path in (folder / "seeds").glob("*"))
        found = sorted(names, key=lambda name: (len(name), name))
        if found != wanted:
            those = [", ".join(each) or "none" for each in (found, wanted)]
            advice = f"run `{layout.command(stage)}` again"
            faults.append(f"{stage} has further seeds {those[0]}, params.yaml says {those[1]}: {advice}")
    said = f"{1 + len(wanted)}, from {params.seed} on"
    return judged("global", f"{layout.variant}: seeds that follow each other", faults, said)


def variants_there(layout: Layout) -> list[Layout]:
    """The layouts of all variants of which something was trained."""
    places = (layout.of(name) for name in VARIANTS)
    return [place for place in places if place.global_adapter.parent.exists()]


def _of_variant(layout: Layout, params: Params) -> list[Check]:
    found = [_Adapter("global", layout.global_adapter, params.global_.lora, params.prompt.layout)]
    experts = sorted(
        (path for path in layout.experts.glob("*") if path.name.isdecimal()), key=lambda p: int(p.name)
    )
    found += [_Adapter("experts", path, params.global_.lora, params.prompt.layout) for path in experts]
    found = [each for each in found if each.folder.exists()]
    backbone = _loaded(layout.backbone)
    checks = [_settings(each, backbone, layout) for each in found]
    if layout.global_adapter.exists() and experts:
        checks.append(_grown(layout, experts, params.experts.last_layers))
    if layout.clusters.exists() and experts:
        groups = len(read_json(layout.clusters / "clusters.json")["sizes"])
        faults, names = [], [path.name for path in experts]
        if names != [str(k + 1) for k in range(groups)]:
            faults.append(f"experts {', '.join(names)} of {groups} groups: run `thinkrec experts` again")
        checks.append(judged("experts", f"one a group{_trained(layout)}", faults, f"{groups} groups"))
    return checks


def check_agents(layout: Layout, params: Params) -> list[Check]:
    """Check the agent's adapters: their backbone and settings."""
    backbone = _loaded(layout.agent_backbone)
    places = {"agent-sft": layout.agent_sft, "agent-grpo": layout.agent_grpo}
    return [
        _settings(_Adapter(stage, folder, params.agent_sft.lora, ""), backbone, layout)
        for stage, folder in places.items()
        if folder.exists()
    ]


def _trained(layout: Layout) -> str:
    """Which training is meant, behind a name; nothing for the first."""
    return "" if layout.seed is None else f", seed {layout.seed}"


def _loaded(folder: Path) -> Backbone | None:
    """The backbone, where it is small enough to be loaded for this alone."""
    if not (folder / "backbone.json").exists():
        return None
    try:
        small = count_weights(*source_of(folder)) < SMALL
    except (MissingInputError, OSError, ValueError):  # not here, or not to be reached
        return None
    return load_backbone(folder) if small else None


def _settings(adapter: _Adapter, backbone: Backbone | None, layout: Layout) -> Check:
    folder = adapter.folder
    own = folder.name if adapter.stage == "experts" else ""
    whose = "" if layout.variant == DEFAULT or not adapter.layout else layout.variant
    name = " ".join(part for part in (whose, adapter.stage, own) if part) + _trained(layout)
    config, faults = read_json(folder / "adapter_config.json"), []
    lora = adapter.lora
    want = {"r": lora.rank, "lora_alpha": lora.alpha, "target_modules": sorted(lora.target_modules)}
    wrong = differing({key: config.get(key) for key in want}, want)
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
    strange = [key for key, value in load_file(folder / _WEIGHTS).items() if not torch.isfinite(value).all()]
    faults += fault(len(strange), "weights are no numbers")
    faults += _numbers(layout, adapter.stage)
    said = "settings, layout of prompts and curve" + (", and backbone" if backbone else "")
    advice = f"run `thinkrec {adapter.stage}` again, if params.yaml has changed since"
    claim = f"{name}: trained on this backbone, as params.yaml says"
    return judged(
        adapter.stage, claim, faults and [*faults, advice], f"{said}; weights are not trained again"
    )


def _numbers(layout: Layout, stage: str) -> list[str]:
    """The chosen checkpoint's AUC in the run record stands in the curve, where both are there."""
    rows, facts = read_curve(layout, stage), read_facts(layout, stage, _Facts)
    if facts is not None and layout.seed is not None:
        facts = facts.get("seeds", {}).get(str(layout.seed))
    if not rows or facts is None:
        return []
    chosen: dict[str, _Chosen] = facts.get("groups") or {"": facts}
    values = {(row["model"], row["step"]): float(row["value"]) for row in rows if row["series"] == "eval_auc"}
    faults = []
    for number, said in chosen.items():
        step, auc = said.get("chosen_step"), said.get("valid_auc")
        if step is None or auc is None:
            continue
        name = (f"expert {number}" if number else stage) + _trained(layout)
        own = values.get((name, str(step)))
        if own is None or abs(own - auc) > _ROUNDED:
            record, curve = layout.record(stage), layout.curve(stage)
            faults.append(f"{record} says valid AUC {auc} of {name} at step {step}, {curve} says {own}")
    return faults


def _grown(layout: Layout, experts: list[Path], last: int) -> Check:
    """Every expert starts from the global adapter, whose first layers stay as they are."""
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
    said = f"{layers - last} layers of {len(experts)} experts are global's, in every bit"
    claim = f"grown from global, in their last layers only{_trained(layout)}"
    return judged("experts", claim, faults, said)


def _layer(key: str) -> int:
    return int(key.split(".layers.")[1].split(".")[0])


def check_projectors(layout: Layout, params: Params) -> list[Check]:
    """Check the size of each variant's projector, and that it standardises by the vectors on disk."""
    places = [each for place in variants_there(layout) for each in (place, *map(place.of_seed, place.seeds))]
    there = [place for place in places if (place.projector / "config.json").exists()]
    return [_check_projector(place, params) for place in there]


def _check_projector(layout: Layout, params: Params) -> Check:
    found = Projector.load(layout.projector)
    if not layout.encoder(params.cluster.encoder).exists():
        why = f"{layout.encoder(params.cluster.encoder)} is not there: `thinkrec cf` makes it"
        return skipped("projector", "standardises by the encoder's vectors", why)
    vectors = load_vectors(layout.encoder(params.cluster.encoder))
    want = Projector(found.config["width"], found.config["hidden"], found.config["expansion"])
    faults = [] if found.config["width"] == vectors.user.shape[1] else ["it is for vectors of another width"]
    if found.config["expansion"] != params.projector.expansion:
        faults.append(
            f"expansion is {found.config['expansion']}, params.yaml says {params.projector.expansion}"
        )
    if not faults:
        want.standardise(torch.cat([vectors.user, vectors.item]))
        for name in ("mean", "spread"):
            one: Tensor = getattr(found, name)
            if not torch.allclose(one, getattr(want, name), rtol=1e-4, atol=1e-6):
                faults.append(f"{name} is not that of the vectors of {params.cluster.encoder}")
    faults += (
        []
        if all(torch.isfinite(value).all() for value in found.state_dict().values())
        else ["weights are no numbers"]
    )
    faults += _numbers(layout, "projector")
    claim = f"standardises by the vectors of {params.cluster.encoder}{_trained(layout)}"
    said = "the same mean and spread; weights are not trained again"
    return judged("projector", claim, faults and [*faults, "run `thinkrec projector` again"], said)
