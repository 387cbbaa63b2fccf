"""The table of stages: from it come commands, dvc.yaml, checks of inputs, and keys of unfinished work."""

from __future__ import annotations

from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Literal


@dataclass(frozen=True)
class Plot:
    """How DVC draws a CSV.

    Args:
        x: column of the x axis.
        y: column of the y axis.
        template: in cli/plots, to which .dvc/plots leads.
    """

    x: str
    y: str
    template: str


@dataclass(frozen=True)
class Named:
    """The parts of an artifact's name, `ARTIFACT:ARGUMENT@VARIANT/PART`, of which all but the first may lack.

    Args:
        artifact: a property of `thinkrec.layout.Layout`, or a method.
        argument: of the method.
        variant: whose it is; empty for that of the layout.
        part: a folder in it.
    """

    artifact: str
    argument: str
    variant: str
    part: str

    @property
    def made(self) -> str:
        """How the stage that makes it names it."""
        return f"{self.artifact}:{self.argument}" if self.argument else self.artifact


def named(artifact: str) -> Named:
    """Take an artifact's name apart."""
    name, _, part = artifact.partition("/")
    name, _, variant = name.partition("@")
    name, _, argument = name.partition(":")
    return Named(name, argument, variant, part)


@dataclass(frozen=True)
class Stage:
    """A command and its artifacts, by their names in `thinkrec.layout`.

    Args:
        name: of the command, the stage in dvc.yaml and the section of params.yaml.
        help: what it does, in a sentence.
        inputs: artifacts that it reads. A part of one follows a slash; `{key}` is the value of that
            parameter.
        outputs: artifacts that it makes, in its manifest.
        reports: further files that appear together with them and that no command reads.
        plots: those of reports that DVC draws.
        metrics: those of outputs that DVC shows as metrics.
        params: dotted keys of params.yaml that decide its outputs; `.*` is the data set's own entry.
        only_for: inputs that are read only where the stage's `systems` name one of these.
        over: key of params.yaml that lists the data sets over which `dvc repro` runs it.
        trains: on the backbone, by as many processes as `processes` says.
        dry_run: it can say what it would cost.
        code: files that decide its outputs, besides those that its module imports.
        by_variant: it runs once for each variant of the language model (`thinkrec.variants`).
        part: the switch of a variant without which the stage has nothing to train.
    """

    name: str
    help: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    plots: dict[str, Plot] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    only_for: dict[str, tuple[str, ...]] = field(default_factory=dict)
    over: Literal["datasets", "agents"] = "datasets"
    trains: bool = False
    dry_run: bool = False
    code: tuple[str, ...] = ()
    by_variant: bool = False
    part: str = ""

    @property
    def made(self) -> tuple[str, ...]:
        """All artifacts and reports that appear when it has ended well."""
        return (*self.outputs, *self.reports)

    @property
    def module(self) -> str:
        """The module whose `run` does the work."""
        name = self.name.replace("-", "_")
        return f"thinkrec.stages.{name}_" if iskeyword(name) else f"thinkrec.stages.{name}"


_TABLES = ("interactions", "items", "keywords")
_GROUPED = "encoders/{cluster.encoder}"
_KNOWLEDGE = (*_TABLES, "graph", "encoders/{agent.encoder}")
_AGENT = ("agent_backbone", "agent_sft", "agent_grpo")
_STUDENT = ("backbone", "global_adapter", "clusters", "experts", "projector", _GROUPED)
_CURVE = Plot("step", "value", "series")

_ROWS = (
    Stage(
        "prep",
        "Turn raw files into interactions, items, users and splits.",
        outputs=("interactions", "items", "users", "quarantine", "truth", "graph"),
        params=("prep", "datasets.*"),
        code=("thinkrec/config/sources.py",),
    ),
    Stage(
        "summarize",
        "Extract keywords from each item's text.",
        inputs=("items",),
        outputs=("keywords",),
        params=("summarize",),
    ),
    Stage(
        "synthesize",
        "Have a teacher explain why users liked items or not.",
        inputs=_TABLES,
        outputs=("rationales",),
        params=("seed", "prompt", "evaluate.protocols", "synthesize"),
    ),
    Stage(
        "backbone",
        "Fetch or find the language model, and check it.",
        outputs=("backbone",),
        params=("prompt.verdicts", "backbone"),
    ),
    Stage(
        "cf",
        "Train the collaborative encoders: MF, LightGCN, SASRec, gSASRec.",
        inputs=("interactions", "items", "users"),
        outputs=("encoders", "curve:cf"),
        plots={"curve:cf": Plot("epoch", "value", "series")},
        params=("seed", "choose_by", "tuned.*", "cf"),
    ),
    Stage(
        "baselines",
        "Fit gbdt: gradient-boosted trees over statistics of history and items.",
        inputs=("interactions",),
        outputs=("baselines",),
        params=("seed", "choose_by", "tuned.*", "baselines"),
    ),
    Stage(
        "global",
        "Train one LoRA on all data, for ratings and reasons together.",
        inputs=(*_TABLES, "rationales", "backbone"),
        outputs=("global_adapter", "curve:global"),
        plots={"curve:global": _CURVE},
        params=("seed", "seeds", "choose_by", "prompt", "loss", "global"),
        code=("thinkrec/llm/starts/smollm2/adapter_model.safetensors",),
        by_variant=True,
        trains=True,
        dry_run=True,
    ),
    Stage(
        "cluster",
        "Group users by their collaborative vectors.",
        inputs=(_GROUPED,),
        outputs=("clusters",),
        params=("seed", "cluster"),
    ),
    Stage(
        "experts",
        "Train a LoRA for each group of users, starting from the global one.",
        inputs=(*_TABLES, "rationales", "backbone", "global_adapter", "clusters"),
        outputs=("experts", "curve:experts"),
        plots={"curve:experts": _CURVE},
        params=("seed", "seeds", "choose_by", "prompt", "loss", "experts"),
        by_variant=True,
        part="experts",
        trains=True,
        dry_run=True,
    ),
    Stage(
        "projector",
        "Train the projector of collaborative vectors into the language model.",
        inputs=(*_TABLES, "rationales", *(name for name in _STUDENT if name != "projector")),
        outputs=("projector", "curve:projector"),
        plots={"curve:projector": _CURVE},
        params=("seed", "seeds", "choose_by", "prompt", "loss", "cluster.encoder", "projector", "gate"),
        by_variant=True,
        part="projector",
        trains=True,
        dry_run=True,
    ),
    Stage(
        "evaluate",
        "Score all systems, measure them, generate reasons, write the report.",
        inputs=("interactions", "items", "truth"),  # and what its systems need
        outputs=("predictions", "metrics", "slices", "differences", "gate", "reasons"),
        reports=("page", "page_text", "plot:roc", "plot:calibration", "plot:gate"),
        plots={
            "plot:roc": Plot("fpr", "tpr", "systems"),
            "plot:calibration": Plot("predicted", "observed", "systems"),
            "plot:gate": Plot("value", "share", "gate"),
        },
        metrics=("metrics",),
        params=(
            "seed", "choose_by", "prompt", "cf.models", "loss.score", "cluster.encoder", "gate",
            "training.valid_rows",
            "variants", "evaluate",
        ),
        dry_run=True,
    ),
    Stage(
        "agent-backbone",
        "Fetch or find the language model that the agent is trained on, and check it.",
        outputs=("agent_backbone",),
        params=("agent-backbone",),
        over="agents",
    ),
    Stage(
        "trajectories",
        "Draw the cases to rank, investigate the training ones, keep the good episodes.",
        inputs=(*_KNOWLEDGE, "agent_backbone"),
        outputs=("cases", "trajectories"),
        params=("seed", "agent", "trajectories"),
        over="agents",
    ),
    Stage(
        "agent-sft",
        "Train the agent on the kept episodes.",
        inputs=(*_KNOWLEDGE, "trajectories", "agent_backbone"),
        outputs=("agent_sft", "curve:agent-sft"),
        plots={"curve:agent-sft": _CURVE},
        params=("seed", "agent", "agent-sft"),
        over="agents",
        trains=True,
    ),
    Stage(
        "agent-grpo",
        "Train the agent further by rewards on its own episodes.",
        inputs=(*_KNOWLEDGE, "cases", "agent_backbone", "agent_sft"),
        outputs=("agent_grpo", "curve:agent-grpo"),
        plots={"curve:agent-grpo": _CURVE},
        params=("seed", "agent", "agent-grpo"),
        over="agents",
        trains=True,
    ),
    Stage(
        "evaluate-agent",
        "Have the agent and all others rank the same candidates; write the agent's report.",
        inputs=(*_KNOWLEDGE, "cases", *_AGENT),  # and what its systems need
        outputs=("agent_results", "agent_metrics"),
        reports=("agent_page", "agent_text"),
        metrics=("agent_metrics",),
        params=(
            "seed", "prompt", "loss.score", "cluster.encoder", "gate", "evaluate", "agent", "evaluate-agent",
        ),
        only_for={"agent_sft": ("sft",), "agent_grpo": ("grpo",)},
        over="agents",
    ),
)  # fmt: skip
ONLY_WITH = {"rationales": "rationales", "clusters": "experts", "experts": "experts"}
"""Inputs of the stages of variants that are read only where the variant has this switch on."""
STAGES = {stage.name: stage for stage in _ROWS}
"""Stages in the order of the pipeline."""

COMMANDS = {
    "stats": Stage("stats", inputs=("interactions", "items", "users")),
    "search": Stage("search", inputs=("interactions", "items", "users")),
    "compare": Stage("compare", inputs=("interactions", "predictions")),
    "export": Stage("export", inputs=(*_TABLES, "backbone"), params=("prompt", "loss.score")),
}
"""Commands that read artifacts and are no stages."""

MAKERS = {artifact: name for name, stage in STAGES.items() for artifact in stage.outputs}
"""Which stage makes an artifact."""
