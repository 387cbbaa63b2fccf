"""What is wrong in params.yaml, in one line a key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from thinkrec.config.base import Section
from thinkrec.config.names import Encoder
from thinkrec.config.secrets import key_like
from thinkrec.config.sections import Params
from thinkrec.config.shared import SHARED, with_shared
from thinkrec.config.text import clean
from thinkrec.config.tree import RULES, SOURCES, dumped, keys, leaves, section_at, subsection, yaml_text
from thinkrec.pipeline import STAGES
from thinkrec.variants import needs_vectors

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Parts = tuple[str | int, ...]
_FIXED = {
    "missing": "is missing",
    "model_type": "must be a section, with keys of its own",
    "dict_type": "must be a section, with keys of its own",
    "model_attributes_type": "must be a section, with keys of its own",
}
_ALONE: Parts = ("datasets", "*", "custom")
"""Where the entry of a data set stands that was checked alone; its keys are shown without it."""
AGENT = {name for name, stage in STAGES.items() if "encoders/{agent.encoder}" in stage.inputs}
"""Stages that `agents` lists data sets for, and that use an encoder's vectors."""
_UNTOLD = {"base_url", "key_variable", "extra_body"}
"""Keys under which a secret may have been put: no message repeats their values."""
MOST = 20
"""Most lines of one kind that are shown."""
_TOOLS = "YAML 1.1 tools such as PyYAML read"
RENAMED = {
    "prompt.history": "evaluate.protocols",
    "yardsticks": "baselines",
    "global.loss": "loss",
    "evaluate.gate": "gate",
    "datasets.*.more_than": "datasets.*.min_interactions",
    "datasets.*.lowest": "datasets.*.min_rating",
    "datasets.*.highest": "datasets.*.max_rating",
    "tuned.*.gbdt.leaves": "tuned.*.gbdt.max_leaf_nodes",
    "tuned.*.gbdt.l2": "tuned.*.gbdt.l2_regularization",
    "tuned.*.gbdt.rounds": "tuned.*.gbdt.max_iter",
    "tuned.*.cf.*.width": "tuned.*.cf.*.embedding_size",
    "prep.bad_rows": "prep.max_bad_rows",
    "prep.quarantine_rows": "prep.max_quarantine_rows",
    "prep.memory": "prep.max_memory",
    "summarize.keywords": "summarize.max_keywords",
    "summarize.words": "summarize.max_words",
    **{
        f"{stage}.endpoint.{old}": f"{stage}.endpoint.{new}"
        for stage in ("summarize", "synthesize", "trajectories")
        for old, new in (
            ("answer_tokens", "max_tokens"),
            ("more_tokens", "max_tokens_step"),
            ("most_tokens", "max_tokens_limit"),
            ("budget_field", "max_tokens_field"),
        )
    },
    "prompt.most_tokens": "prompt.max_tokens",
    "backbone.four_bit": "backbone.load_in_4bit",
    "agent-backbone.four_bit": "agent-backbone.load_in_4bit",
    "cf.encoders.*.width": "cf.encoders.*.embedding_size",
    "baselines.gbdt.leaves": "baselines.gbdt.max_leaf_nodes",
    "baselines.gbdt.l2": "baselines.gbdt.l2_regularization",
    "baselines.gbdt.rounds": "baselines.gbdt.max_iter",
    **{
        f"{stage}.{old}": f"{stage}.gradient_{old}"
        for stage in ("global", "experts", "projector", "agent-sft")
        for old in ("accumulation", "checkpointing")
    },
    "agent-grpo.checkpointing": "agent-grpo.gradient_checkpointing",
    "evaluate.reason_tokens": "evaluate.max_reason_tokens",
    "evaluate.no_repeat_ngram": "evaluate.no_repeat_ngram_size",
    "agent.shown": "agent.initial_history_length",
    "agent.lines": "agent.max_lines",
    "agent.people": "agent.max_users",
    "agent.turns": "agent.max_turns",
    "agent.calls": "agent.max_calls",
    "agent.turn_tokens": "agent.max_turn_tokens",
    "agent.episode_tokens": "agent.max_episode_tokens",
    "trajectories.cases": "trajectories.max_cases",
    "trajectories.best_rank": "trajectories.max_rank",
    "trajectories.most_calls": "trajectories.max_calls",
    "agent-sft.held_out": "agent-sft.valid_share",
    "agent-grpo.least_spread": "agent-grpo.min_spread",
    "agent-grpo.least_format": "agent-grpo.min_format",
    "evaluate-agent.sampled": "evaluate-agent.sampling_temperature",
    "evaluate-agent.off": "evaluate-agent.without_tools",
}
"""Keys of earlier versions and what they are called now; `*` is any name."""
_ANEW = {
    "more_than": ", and its value is higher by one",
    "history": ", a list, and `choose_by` for what valid chooses",
}
"""Renamed keys whose values mean something else now."""


def dotted(parts: Parts) -> str:
    """The key as params.yaml nests it; pydantic's marks (`[key]`, a reader, a split's rule) are left out."""
    if parts[:1] == ("datasets",):
        marks = {2, 4} if parts[3:4] == ("split",) else {2}
        if parts[:3] == _ALONE:
            marks |= {0, 1}
        parts = tuple(part for place, part in enumerate(parts) if place not in marks)
    return clean(".".join(clean(str(part), 80) for part in parts if part != "[key]"), 300)


def renamed(key: str) -> str | None:
    """What a dotted key of an earlier version is called now; None where it is none."""
    for old, new in RENAMED.items():
        match = re.fullmatch(re.escape(old).replace(r"\*", r"([^.]+)"), key)
        if match:
            for name in match.groups():
                new = new.replace("*", name, 1)
            return new
    return None


def _nearest(parts: Parts) -> str:
    """Where an unknown key may have been meant to stand: in its own section, else anywhere."""
    if new := renamed(dotted(parts)):
        return f"; it is now `{new}`{_ANEW.get(str(parts[-1]), '')}"
    key, section = str(parts[-1]), section_at(parts[:-1])
    near = get_close_matches(key, list(keys(section)) if section else [], n=1)
    if near:
        return f"; did you mean `{dotted((*parts[:-1], near[0]))}`?"
    same = [name for name in leaves(Params) if name.rsplit(".", 1)[-1] == key]
    if same:
        return f"; did you mean `{same[0]}`?"
    return f"; known here: {', '.join(keys(section))}" if section else ""


def _line(error: ErrorDetails) -> str:
    """One line for one of pydantic's errors."""
    parts, kind, given = error["loc"], error["type"], error["input"]
    if not parts:
        return re.sub(r"^Value error, ", "", error["msg"])
    if kind == "extra_forbidden":
        return f"{dotted(parts)}: no such key{_nearest(parts)}"
    if kind == "invalid_key" or (parts[-1] == "[key]" and not isinstance(given, str)):
        where = dotted(parts[:-1] if kind == "invalid_key" else parts[:-2])
        return f"{where}.{_shown(given)}: {_no_text(where, given)}"
    if kind.startswith("union_tag"):
        key = error["ctx"]["discriminator"].strip("'")
        known = _one_of(SOURCES if key == "reader" else RULES)
        if kind == "union_tag_not_found":
            return f"{dotted(parts)}: has no `{key}`: {known}"
        return f"{dotted(parts)}.{key}: must be {known}, not {_shown(given[key])}"
    if kind in _FIXED:
        return f"{dotted(parts)}: {_FIXED[kind]}"
    said = re.sub(r"^Value error, ", "", error["msg"])
    said = re.sub(r"^\w+ should ", "must ", said)
    said = re.sub(r", (unable|got a number).*|, not \d+$| after validation", "", said)
    if kind == "value_error" or not _UNTOLD.isdisjoint(map(str, parts)):
        return f"{dotted(parts)}: {said}"
    return f"{dotted(parts)}: {said}, not {_shown(given)}"


def _shown(given: Any) -> str:
    """A value as params.yaml has it, as much of it as a message holds."""
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) >= 10**40:
        return "a number of more than 40 digits"
    text = given if isinstance(given, str) and len(given) > 80 else yaml_text(given)
    return "what looks like a key" if key_like(text) else clean(text, 80)


def _no_text(where: str, key: Any) -> str:
    """Why a key that YAML does not read as text is refused; false may have been `off`."""
    if key is False and (new := renamed(f"{where}.off")):
        return f"no such key; if it was `off`, which {_TOOLS} as false, it is now `{new}`"
    if isinstance(key, bool):
        return (
            f"a key must be text; {_TOOLS} `off`, `no`, `on` and `yes` as true or false: write it in quotes"
        )
    return "a key must be text: write it in quotes"


def _one_of(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


def wrong(error: ValidationError, given: Mapping[str, Any]) -> list[str]:
    """A line for each value that is wrong and each key that does not exist.

    Args:
        error: of the validation.
        given: what params.yaml holds. A wrong value of a shared section is reported once, there.
    """
    found = [one for one in error.errors(include_url=False) if not _inherited(one["loc"], given)]
    more = [f"and {len(found) - MOST:,} more"] if len(found) > MOST else []
    return [*(_line(one) for one in found[:MOST]), *more]


def entry_fault(error: ValidationError) -> str:
    """Say what is wrong first in one entry of `datasets` that was checked alone, by the entry's own keys."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return _line(first)
    return _line({**first, "loc": (*_ALONE, *first["loc"])})


def _inherited(parts: Parts, given: Mapping[str, Any]) -> bool:
    """Whether a value is not written where it is, but comes from a shared section."""
    for name, places in SHARED.items():
        shared = given.get(name)
        for place in places:
            if parts[: len(place)] != place or len(parts) == len(place) or not isinstance(shared, Mapping):
                continue
            section: Any = given
            for part in place:
                section = section.get(part, {}) if isinstance(section, Mapping) else {}
            key = parts[len(place)]
            return key in shared and not (isinstance(section, Mapping) and key in section)
    return False


def absent(given: Mapping[str, Any]) -> list[str]:
    """A line for each key that is not written out.

    Defaults fill no gap here: DVC and git see params.yaml, not the code, so a value that stands
    only in the code could change a result without either of them noticing. What a shared section lacks is
    reported there alone.
    """
    default = dumped(Params())
    inherited = with_shared({**given, **{name: default[name] for name in SHARED}})
    own = {key: value for key, value in inherited.items() if key not in SHARED}
    shared = {name: given[name] for name in SHARED if name in given}
    return list(_absent(Params, default, own | shared, ""))


def _absent(
    section: type[Section], default: Mapping[str, Any], given: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for key, field in keys(section).items():
        inner = subsection(field)
        if key not in given:
            missing = "the section is missing" if inner else "is missing; its default is "
            yield f"{prefix}{key}: {missing}{'' if inner else yaml_text(default[key])}"
        elif inner and isinstance(given[key], Mapping):
            yield from _absent(inner, default[key], given[key], f"{prefix}{key}.")


def at_odds(params: Params, stages: Collection[str]) -> list[str]:
    """A line for each value that is right alone but not beside the others.

    Args:
        params: the parameters.
        stages: whose values are looked at: those that use an encoder's vectors or scores.
    """
    trained = ", ".join(params.cf.models)
    return [
        f"{key}: `{name}` is not among `cf.models` ({trained}), so that no stage trains it"
        for key, names, users in _encoders(params)
        for name in names
        if name in get_args(Encoder) and name not in params.cf.models and not users.isdisjoint(stages)
    ]


def later_at_odds(params: Params, dataset: str) -> list[str]:
    """What stages after `cf` will refuse, where `dvc repro` runs them on this data set."""
    users = {stage for _, _, users in _encoders(params) for stage in users}
    return at_odds(params, users if dataset in params.agents else users - AGENT)


def _encoders(params: Params) -> Iterator[tuple[str, Sequence[str], set[str]]]:
    """Keys that name encoders, what they name, and the stages that use it."""
    scored, ranked = params.named(params.evaluate.systems), params.evaluate_agent.systems
    grouped = {"cluster", "projector"}
    for stage, systems in (("evaluate", scored), ("evaluate-agent", ranked)):
        grouped |= {stage} if any(map(needs_vectors, systems)) else set()
    yield "cluster.encoder", [params.cluster.encoder], grouped
    yield "evaluate.systems", scored, {"evaluate"}
    yield "agent.encoder", [params.agent.encoder], AGENT
    yield "evaluate-agent.systems", ranked, {"evaluate-agent"}
