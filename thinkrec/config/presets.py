"""Presets: sets of values that a command writes into params.yaml, where git and DVC see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thinkrec.config.load import parse_params
from thinkrec.config.secrets import told
from thinkrec.config.sections import Params
from thinkrec.config.text import place_of, read_text
from thinkrec.config.tree import dumped, leaves, section_at, yaml_text
from thinkrec.errors import ConfigError
from thinkrec.files import whole

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

KEPT = ("seed", "datasets", "agents", "tuned", "demo")

# `cpu` is what the sections hold by default. `paper` differs in these keys. Learning rates, ranks and
# widths: the paper and its release. The agent's: Qwen3-8B, sizes our choice (RecThinker's are not published
# to us). Batch sizes: our choice, to fit 8 billion weights on one 80 GB GPU,
# with 32 rows an optimizer step as in `cpu`. `paper-8gpu` is the same on eight: as many rows a step.
_LARGE = {"batch_size": 8, "accumulation": 4, "checkpointing": True}
_TRAINED = ("global", "experts", "projector")
_PAPER: dict[str, Any] = {
    "summarize.extractor": "endpoint",
    "synthesize.teacher": "endpoint",
    "synthesize.endpoint.model": "Qwen/QwQ-32B",
    "synthesize.eval_rows": 200,
    "prompt.keywords": 10,
    "backbone.model": "meta-llama/Meta-Llama-3-8B-Instruct",
    "backbone.dtype": "bfloat16",
    "cf.encoders.mf.width": 256,
    "cf.encoders.mf_no_biases.width": 256,
    **{f"global.{key}": value for key, value in _LARGE.items()},
    "global.learning_rate": 1e-4,
    "global.warmup_steps": 200,
    "global.loss.score": "yes_logit",
    "global.lora.rank": 8,
    "global.lora.target_modules": ["q_proj", "v_proj"],
    **{f"experts.{key}": value for key, value in _LARGE.items()},
    "experts.learning_rate": 1e-5,
    "experts.warmup_steps": 200,
    "experts.epochs": 1,
    "experts.last_layers": 8,
    **{f"projector.{key}": value for key, value in _LARGE.items()},
    "projector.learning_rate": 1e-4,
    "projector.epochs": 1,
    "projector.warmup_steps": 200,
    "evaluate.batch_size": 32,
    "evaluate.reasons": 200,
    "evaluate.reason_tokens": 512,
    "evaluate.repetition_penalty": 1.2,
    "evaluate.no_repeat_ngram": 2,
    "agent.shown": 5,
    "agent.lines": 10,
    "agent.turns": 5,
    "agent.calls": 10,
    "agent.turn_tokens": 512,
    "agent.episode_tokens": 8192,
    "agent-backbone.model": "Qwen/Qwen3-8B",
    "agent-backbone.dtype": "bfloat16",
    "trajectories.source": "model",
    "trajectories.most_calls": 6,
    "agent-sft.learning_rate": 1e-4,
    "agent-sft.batch_size": 1,
    "agent-sft.accumulation": 16,
    "agent-sft.checkpointing": True,
    "agent-grpo.learning_rate": 1e-6,
    "agent-grpo.batch_size": 4,
    "agent-grpo.vllm": "colocate",
    "agent-grpo.checkpointing": True,
    "evaluate-agent.batch_size": 32,
}
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "paper": _PAPER,
    "paper-8gpu": {
        **_PAPER,
        "processes": 8,
        **{f"{stage}.batch_size": 4 for stage in _TRAINED},
        **{f"{stage}.accumulation": 1 for stage in _TRAINED},
        "agent-sft.accumulation": 2,
    },
}


class Change(NamedTuple):
    """One key that a preset changed, values as YAML text, without secrets."""

    key: str
    old: str
    new: str


def preset_values(name: str) -> dict[str, Any]:
    """All plain values of a preset by dotted key, without those that no preset touches.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset `{name}`; there are: {', '.join(PRESETS)}")
    return {key: value for key, value in _plain(Params()).items() if key.split(".")[0] not in KEPT} | PRESETS[
        name
    ]


def apply_preset(path: Path, name: str) -> list[Change]:
    """Put a preset's values into params.yaml, in place of those that differ; all else stays as it is.

    Returns:
        What was changed, in the file's order.

    Raises:
        ConfigError: there is no such preset, or params.yaml has errors.
    """
    values, text = preset_values(name), read_text(path)
    before = _plain(parse_params(text, path.name))
    differing = {key: value for key, value in values.items() if before[key] != value}
    with whole(place_of(path)) as beside:
        beside.write_text(_replaced(text, differing), encoding="utf-8", newline="")
        parse_params(read_text(beside), path.name)
    return [
        Change(key, *(yaml_text(told(each[key], key.rpartition(".")[2])) for each in (before, differing)))
        for key in before
        if key in differing
    ]


def _plain(params: Params) -> dict[str, Any]:
    """Plain values by dotted key."""
    found: dict[str, Any] = {}
    for key in leaves(Params):
        value: Any = dumped(params)
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


def _replaced(text: str, values: dict[str, Any]) -> str:
    """The text with new values at some keys.

    Only the values' own characters change: a YAML round trip would also move comments, so that
    `cpu` after `paper` would not give back the file.
    """
    from ruamel.yaml import YAML

    spans = _spans(YAML(pure=True).compose(text))
    for key in sorted(values, key=lambda key: spans[key], reverse=True):
        start, end = spans[key]
        text = f"{text[:start]}: {yaml_text(values[key])}{text[end:]}"
    return text


def _spans(node: MappingNode, prefix: tuple[str, ...] = ()) -> dict[str, tuple[int, int]]:
    """For each plain value the characters from its key's end to its own end."""
    found: dict[str, tuple[int, int]] = {}
    for key, value in node.value:
        path = (*prefix, str(key.value))
        if path[0] in KEPT:
            continue
        if section_at(path) is not None:
            found |= _spans(value, path)
        else:
            found[".".join(path)] = (key.end_mark.index, end_of(value))
    return found


def end_of(node: Node) -> int:
    """Where a node's own text ends; a block list or mapping is taken to end with its last part."""
    from ruamel.yaml.nodes import CollectionNode

    if isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return end_of(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index
