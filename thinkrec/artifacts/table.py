"""The table of stages: what each reads, what it makes, and which parameters it hangs on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """A command and its artifacts, by their names in `thinkrec.layout`.

    Args:
        inputs: artifacts that it reads. A part of one follows a slash; `{key}` is the value of that
            parameter.
        outputs: artifacts that it makes, in its manifest.
        reports: further files that appear together with them and that no command reads.
        only_for: inputs that are read only where the stage's `systems` name one of these.
        params: dotted keys of params.yaml that decide its outputs; `datasets.*` is the data set's own entry.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    only_for: dict[str, tuple[str, ...]] = field(default_factory=dict)


_TABLES = ("interactions", "items", "keywords")
_GROUPED = "encoders/{cluster.encoder}"
_KNOWLEDGE = (*_TABLES, "graph", "encoders/{agent.encoder}")
_AGENT = ("agent_backbone", "agent_sft", "agent_grpo")
_STUDENT = ("backbone", "global_adapter", "clusters", "experts", "projector", _GROUPED)

STAGES: dict[str, Stage] = {
    "prep": Stage(
        (),
        ("interactions", "items", "users", "quarantine", "truth", "graph"),
        params=("prep", "datasets.*"),
    ),
    "summarize": Stage(("items",), ("keywords",), params=("summarize",)),
    "synthesize": Stage(_TABLES, ("rationales",), params=("seed", "prompt", "synthesize")),
    "backbone": Stage(("items", "keywords"), ("backbone",), params=("seed", "prompt", "backbone")),
    "cf": Stage(("interactions", "items", "users"), ("encoders",), ("curve:cf",), ("seed", "tuned.*", "cf")),
    "yardsticks": Stage(
        ("interactions",), ("yardsticks",), params=("seed", "tuned.*", "prompt.history", "yardsticks")
    ),
    "global": Stage(
        (*_TABLES, "rationales", "backbone"),
        ("global_adapter",),
        ("curve:global",),
        ("seed", "prompt", "global"),
    ),
    "cluster": Stage((_GROUPED,), ("clusters",), params=("seed", "cluster")),
    "experts": Stage(
        (*_TABLES, "rationales", "backbone", "global_adapter", "clusters"),
        ("experts",),
        ("curve:experts",),
        ("seed", "prompt", "global.loss", "experts"),
    ),
    "projector": Stage(
        (*_TABLES, "rationales", *(name for name in _STUDENT if name != "projector")),
        ("projector",),
        ("curve:projector",),
        ("seed", "prompt", "global.loss", "cluster.encoder", "projector", "evaluate.gate"),
    ),
    "evaluate": Stage(
        ("interactions", "items", "truth"),  # and what its systems need
        ("predictions", "metrics", "slices", "differences", "reasons"),
        ("page", "page_text", "plot:roc", "plot:calibration"),
        ("seed", "prompt", "cf.models", "global.loss.score", "cluster.encoder", "evaluate"),
    ),
    "agent-backbone": Stage(
        ("items", "keywords", "graph"), ("agent_backbone",), params=("seed", "agent", "agent-backbone")
    ),
    "trajectories": Stage(
        (*_KNOWLEDGE, "agent_backbone"),
        ("cases", "trajectories"),
        params=("seed", "agent", "trajectories"),
    ),
    "agent-sft": Stage(
        (*_KNOWLEDGE, "trajectories", "agent_backbone"),
        ("agent_sft",),
        ("curve:agent-sft",),
        ("seed", "agent", "agent-sft"),
    ),
    "agent-grpo": Stage(
        (*_KNOWLEDGE, "cases", "agent_backbone", "agent_sft"),
        ("agent_grpo",),
        ("curve:agent-grpo",),
        ("seed", "agent", "agent-grpo"),
    ),
    "evaluate-agent": Stage(
        (*_KNOWLEDGE, "cases", *_AGENT),  # and what its systems need
        ("agent_results", "agent_metrics"),
        ("agent_page", "agent_text"),
        (
            "seed", "prompt", "global.loss.score", "cluster.encoder", "evaluate", "agent", "evaluate-agent",
        ),
        {
            "agent_sft": ("sft",),
            "agent_grpo": ("grpo",),
        },
    ),
}  # fmt: skip
"""Stages in the order of the pipeline."""

COMMANDS: dict[str, Stage] = {
    "stats": Stage(("interactions", "items", "users")),
    "search": Stage(("interactions", "items", "users")),
    "compare": Stage(("interactions", "predictions")),
    "export": Stage((*_TABLES, "backbone"), params=("prompt", "global.loss.score")),
}
"""Commands that read artifacts and are no stages."""

MAKERS = {artifact: name for name, stage in STAGES.items() for artifact in stage.outputs}
"""Which stage makes an artifact."""
