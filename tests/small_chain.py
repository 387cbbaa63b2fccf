"""The pipeline on a very small embedded data set, as library calls."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from small_llama import agent_tokenizer, train_tokenizer, write_llama

from thinkrec.config.sections import Params
from thinkrec.demo.words import SENTENCES, THEMES, TITLES
from thinkrec.layout import Layout

LANGUAGE = ("backbone", "global", "thinkrec-no-projector", "thinkrec")
SMALL: dict[str, Any] = {
    "demo": {"users": 40, "items": 60, "interactions": 1200},
    "datasets": {"demo": {"reader": "demo", "split": {"rule": "share"}}},
    "synthesize": {"rows": 60, "eval_rows": 12},
    "prompt": {"history_length": 4, "keywords": 3, "verdicts": "before"},
    "training": {
        "learning_rate": 2e-3, "warmup_steps": 200, "gradient_accumulation": 1, "history": False,
    },
    "loss": {"reasoning_share": 0.2},
    "cf": {
        "models": ["mf", "lightgcn", "sasrec", "gsasrec_labels"],
        "seeds": 2,
        "encoders": {name: {"embedding_size": 8} for name in ("mf", "lightgcn", "sasrec", "gsasrec_labels")},
        "epochs": 4,
        "patience": 3,
        "history_length": 8,
    },
    "baselines": {"seeds": 2, "gbdt": {"max_iter": 20}},
    "global": {
        "epochs": 0.3, "batch_size": 16, "evaluations": 2, "valid_rows": 60, "learning_rate": 0.01,
        "lora": {"rank": 8, "alpha": 16, "dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
        "start": None,
    },
    "experts": {
        "learning_rate": 5e-4, "epochs": 0.2, "batch_size": 16, "evaluations": 1, "valid_rows": 40,
        "last_layers": 2,
    },
    "projector": {"epochs": 0.3, "batch_size": 16, "evaluations": 2, "valid_rows": 40, "expansion": 2},
    "gate": {"temperature": 2.0, "concentrated": [0.2, 0.7], "averaged": 0.9995},
    "evaluate": {
        "systems": ["mf", "lightgcn", "sasrec", "gsasrec_labels", "gbdt", *LANGUAGE],
        "protocols": ["frozen", "rolling"],
        "batch_size": 32,
        "bootstrap_draws": 50,
        "reasons": 6,
        "max_reason_tokens": 16,
    },
}  # fmt: skip
TEXTS = [
    *(f"{cues} {cues.title()}" for cues in THEMES.values()),
    *TITLES,
    *SENTENCES,
    "The user's history, oldest first: Liked Disliked Rated Next",
    "Will the user like the next item? Answer Yes or No, then explain why.",
    "Yes. No. The user liked and disliked, so the user will like it.",
]
"""Texts that the small tokenizers are trained on."""


def small_params(folder: Path) -> Params:
    """Return the chain's parameters; `folder` becomes its language model, a Llama of random weights."""
    write_llama(folder, train_tokenizer(TEXTS, 1024))
    return Params.model_validate({**SMALL, "backbone": {"model": str(folder)}})


def agent_model(folder: Path, seed: int = 7) -> dict[str, Any]:
    """Return the section `agent-backbone` for a Llama of random weights, in `folder`, that renders calls."""
    write_llama(folder, agent_tokenizer(TEXTS, 700), seed)
    return {"model": str(folder)}


@dataclass(frozen=True)
class Chain:
    """All nine stages, done: where the artifacts lie, with what parameters, what stages said, and stderr."""

    layout: Layout
    params: Params
    facts: dict[str, dict[str, Any]]
    log: str = ""

    def copy(self, root: Path) -> Layout:
        """The same artifacts in another folder, for a test that changes some."""
        shutil.copytree(self.layout.root, root / "copy")
        return Layout(self.layout.dataset, root / "copy")


def own_backbone(layout: Layout) -> Path:
    """Give a copy of the chain a model folder of its own, for a test that damages it."""
    from thinkrec.files import read_json, write_json

    noted = layout.backbone / "backbone.json"
    facts, folder = read_json(noted), layout.root / "own-llama"
    shutil.copytree(facts["model"], folder)
    write_json(noted, facts | {"model": str(folder)})
    return folder


def run_chain(layout: Layout, params: Params) -> dict[str, dict[str, Any]]:
    """Run every stage; raw files lie in `layout.root` / raw."""
    from thinkrec.artifacts.run import running
    from thinkrec.demo.generate import write_raw
    from thinkrec.pipeline import STAGES
    from thinkrec.systems.registry import needs_of_stage

    write_raw(layout.root / "raw", params.demo)
    source = params.datasets["demo"].model_copy(update={"raw": "raw"})
    own = params.model_copy(update={"datasets": {layout.dataset: source}})
    found = {}
    for name, stage in STAGES.items():
        if stage.over == "datasets":
            with running(layout, name, params, needs_of_stage(params, name)) as facts:
                facts.update(import_module(stage.module).run(layout, own))
            found[name] = facts
    return found


def write_params(root: Path, params: Params) -> None:
    """Write the chain's parameters into a copy of it, which becomes the root of a project."""
    from thinkrec.config.sources import DemoSource
    from thinkrec.config.write import params_text

    source = DemoSource(reader="demo", raw="raw", watch="raw", split=params.datasets["demo"].split)
    named = params.model_copy(update={"datasets": {"demo": source}})
    (root / "params.yaml").write_text(params_text(named), encoding="utf-8")


def seal(layout: Layout, params: Params) -> None:
    """Write the manifests of all artifacts that are there as if their stages had just made them, for a test
    that makes or changes some by hand."""
    from thinkrec.artifacts.check import inputs_of, values_of
    from thinkrec.artifacts.manifest import describe, digest, part_of, read_manifest, write_manifest
    from thinkrec.layout import path_of
    from thinkrec.pipeline import MAKERS, STAGES, named
    from thinkrec.systems.registry import needs_of_stage

    for name, stage in STAGES.items():
        paths = {each: path_of(layout, each) for each in stage.outputs}
        if not any(path.exists() for path in paths.values()):
            continue
        inputs = {}
        for each in inputs_of(name, params, needs_of_stage(params, name)):
            found = named(each)
            place = layout.of(found.variant or layout.variant)
            if place.manifest(MAKERS[found.made]).exists():
                files = read_manifest(place, MAKERS[found.made])["outputs"][found.made]
                inputs[each] = digest(part_of(files, found.part))
        outputs = {each: describe(path, deep=True) if path.exists() else {} for each, path in paths.items()}
        write_manifest(layout, name, inputs, values_of(params, layout.dataset, stage.params), outputs)
