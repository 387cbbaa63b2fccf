"""Presets: sets of values that a command writes into params.yaml, where git and DVC see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thinkrec.config.load import parse_params
from thinkrec.config.secrets import masked
from thinkrec.config.sections import Params
from thinkrec.config.shared import SHARED
from thinkrec.config.text import mapping, place_of, read_text
from thinkrec.config.tree import dumped, leaves, section_at, yaml_text
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec.files import whole

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

KEPT = ("seed", "datasets", "prep", "variants", "agents", "tuned", "demo")

# `cpu` is what the sections hold by default, sized for the embedded data set. `laptop` is the same model
# on MovieLens-1M or own data, `small-gpu` a larger one on a GPU; sizes our choice. `paper`: learning rates,
# ranks and widths of the paper and its release. The agent's: Qwen3-8B, sizes our choice (RecThinker's are not
# published to us). Batch sizes: our choice, to fit 8 billion weights on one 80 GB GPU, with 32 rows an
# optimizer step. `paper-8gpu` is the same on eight: as many rows a step.
_OWN_DATA: dict[str, Any] = {
    "prompt.reception": True,
    "synthesize.rows": 3000,
    "training.epochs": 0.5,
    "training.warmup_steps": 50,
    "training.valid_rows": 300,
    "experts.epochs": 0.2,
    "projector.epochs": 0.15,
    "evaluate.reasons": 100,
}
_SMALL_GPU: dict[str, Any] = {
    **_OWN_DATA,
    "training.epochs": 1.0,
    "experts.epochs": 0.5,
    "projector.epochs": 0.5,
    "backbone.model": "Qwen/Qwen3-0.6B",
    "backbone.dtype": "bfloat16",
    "global.start": None,
    "training.learning_rate": 1e-3,
    "experts.learning_rate": 3e-4,
    "training.batch_size": 256,
    "training.evaluations": 4,
    "training.valid_rows": 2000,
    "evaluate.systems": ["encoders", "gbdt", "backbone", "global", "variants"],
    "evaluate.protocols": ["frozen", "rolling"],
    "evaluate.batch_size": 256,
    "evaluate.reasons": 200,
    "agent-backbone.model": "Qwen/Qwen3-0.6B",
    "agent-backbone.dtype": "bfloat16",
}
_LARGE = {"batch_size": 8, "gradient_accumulation": 4, "gradient_checkpointing": True}
_PAPER: dict[str, Any] = {
    "summarize.extractor": "endpoint",
    "synthesize.teacher": "endpoint",
    "synthesize.endpoint.model": "Qwen/QwQ-32B",
    "synthesize.rows": 3000,
    "synthesize.eval_rows": 200,
    "prompt.history_length": 10,
    "prompt.verdicts": "before",
    "prompt.keywords": 10,
    "backbone.model": "meta-llama/Meta-Llama-3-8B-Instruct",
    "backbone.dtype": "bfloat16",
    "cf.encoders.mf.embedding_size": 256,
    "cf.encoders.mf_no_biases.embedding_size": 256,
    **{f"training.{key}": value for key, value in _LARGE.items()},
    "training.learning_rate": 1e-4,
    "training.warmup_steps": 200,
    "training.epochs": 1.0,
    "training.evaluations": 4,
    "training.valid_rows": 2000,
    "training.history": False,
    "loss.reasoning_share": 0.2,
    "loss.score": "yes_logit",
    "global.start": None,
    "global.lora.rank": 8,
    "global.lora.alpha": 16,
    "global.lora.dropout": 0.05,
    "global.lora.target_modules": ["q_proj", "v_proj"],
    "experts.learning_rate": 1e-5,
    "experts.epochs": 1,
    "experts.last_layers": 8,
    "projector.learning_rate": 1e-4,
    "projector.epochs": 1,
    "evaluate.systems": ["encoders", "gbdt", "backbone", "global", "variants"],
    "evaluate.protocols": ["frozen", "rolling"],
    "evaluate.batch_size": 32,
    "evaluate.reasons": 200,
    "evaluate.max_reason_tokens": 512,
    "evaluate.repetition_penalty": 1.2,
    "evaluate.no_repeat_ngram_size": 2,
    "agent.initial_history_length": 5,
    "agent.max_lines": 10,
    "agent.max_turns": 5,
    "agent.max_calls": 10,
    "agent.max_turn_tokens": 512,
    "agent.max_episode_tokens": 8192,
    "agent-backbone.model": "Qwen/Qwen3-8B",
    "agent-backbone.dtype": "bfloat16",
    "trajectories.source": "model",
    "trajectories.max_calls": 6,
    "agent-sft.learning_rate": 1e-4,
    "agent-sft.batch_size": 1,
    "agent-sft.gradient_accumulation": 16,
    "agent-sft.gradient_checkpointing": True,
    "agent-grpo.learning_rate": 1e-6,
    "agent-grpo.batch_size": 4,
    "agent-grpo.vllm": "colocate",
    "agent-grpo.gradient_checkpointing": True,
    "evaluate-agent.batch_size": 32,
}
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "laptop": _OWN_DATA,
    "small-gpu": _SMALL_GPU,
    "paper": _PAPER,
    "paper-8gpu": {
        **_PAPER,
        "processes": 8,
        "training.batch_size": 4,
        "training.gradient_accumulation": 1,
        "agent-sft.gradient_accumulation": 2,
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
    values: dict[str, Any] = mapping(params_text(Params()))  # without what is inherited
    for key, value in PRESETS[name].items():
        *parts, last = key.split(".")
        section = values
        for part in parts:
            section = section[part]
        section[last] = value
    found = _plain(Params.model_validate(values))
    return {key: value for key, value in found.items() if key.split(".")[0] not in KEPT}


def apply_preset(path: Path, name: str) -> list[Change]:
    """Put a preset's values into params.yaml, in place of those that differ; all else stays as it is.

    Returns:
        What was changed, in the file's order, without what a section inherits from a shared one.

    Raises:
        ConfigError: there is no such preset, or params.yaml has errors.
    """
    values, text = preset_values(name), read_text(path)
    before = _plain(parse_params(text, path))
    differing = {key: value for key, value in values.items() if before[key] != value}
    after = _replaced(text, values, differing)
    written = _spans(_composed(after))
    with whole(place_of(path)) as beside:
        beside.write_text(after, encoding="utf-8", newline="")
        parse_params(read_text(beside), path)
    return [
        Change(key, *(yaml_text(masked(each[key], key.rpartition(".")[2])) for each in (before, differing)))
        for key in before
        if key in differing and key in written
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


def _replaced(text: str, values: dict[str, Any], differing: Iterable[str]) -> str:
    """The text with new values at the keys that differ.

    Only the values' own characters change: a YAML round trip would also move comments, so that
    `cpu` after `paper` would not give back the file. A key that is not written, since its section
    inherits it, is written where its new value is not the shared section's.
    """
    root = _composed(text)
    spans = _spans(root)
    changes = [(*spans[key], f": {yaml_text(values[key])}") for key in differing if key in spans]
    for shared, places in SHARED.items():
        for place in places:
            keys = {name: ".".join((*place, name)) for name in _names(values, shared)}
            lacking = {
                name: values[key]
                for name, key in keys.items()
                if key not in spans and values[key] != values[f"{shared}.{name}"]
            }
            if lacking:
                changes.append(_inserted(root, place, lacking))
    for start, end, new in sorted(changes, reverse=True):
        text = f"{text[:start]}{new}{text[end:]}"
    return text


def _composed(text: str) -> MappingNode:
    from ruamel.yaml import YAML

    root: MappingNode = YAML(pure=True).compose(text)
    return root


def _names(values: dict[str, Any], section: str) -> list[str]:
    return [key.removeprefix(f"{section}.") for key in values if key.startswith(f"{section}.")]


def _node(root: MappingNode, path: tuple[str, ...]) -> MappingNode | None:
    """The section at a path; None where it is not written."""
    node: MappingNode | None = root
    for part in path:
        node = next((value for key, value in node.value if key.value == part), None) if node else None
    return node


def _inserted(root: MappingNode, place: tuple[str, ...], values: dict[str, Any]) -> tuple[int, int, str]:
    """Where values are put in front of a section's keys, and their text; the section may not be written."""
    section = _node(root, place)
    if section is None:
        return _inserted(root, place[:-1], {place[-1]: values})
    if not section.value:
        return section.start_mark.index, section.end_mark.index, yaml_text(values)
    mark = section.value[0][0].start_mark
    between = ", " if section.flow_style else f"\n{' ' * mark.column}"
    lines = [f"{name}: {yaml_text(value)}{between}" for name, value in values.items()]
    return mark.index, mark.index, "".join(lines)


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
