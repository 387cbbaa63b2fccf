"""Export an adapter for other engines: as merged weights and as a PEFT folder, both verified."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.llm.adapter import load_bank, load_peft
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import read_adapter
from thinkrec.llm.batches import Example
from thinkrec.llm.loss import Score
from thinkrec.llm.scorer import check_applied, score_examples
from thinkrec.llm.student import Student
from thinkrec.progress import Bar

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.5}
"""Maximum difference of a score: guarantee 3's; for bfloat16 about twice that of random models (0.22)."""

LOST = 0.1
"""Maximum mean difference of scores as a share of the adapter's own mean effect: random models in bfloat16
have 0.02, without a quarter of the adapter it is about 0.25 (our choice)."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a parity check.

    Args:
        texts: prompts as text, chat template included.
        examples: the same as token ids.
        kind: which logits make the score.
    """

    texts: Sequence[str]
    examples: Sequence[Example]
    kind: Score


@dataclass(frozen=True)
class Parity:
    """Scores of the same prompts computed in different ways, [n] each.

    Args:
        thinkrec: by thinkrec's scorer, with the adapter next to the weights.
        merged: by the merged model, loaded from its folder.
        peft: by PEFT on the backbone.
        bare: by the backbone without the adapter.
        tolerance: maximum allowed difference of a score.
    """

    thinkrec: np.ndarray
    merged: np.ndarray
    peft: np.ndarray
    bare: np.ndarray
    tolerance: float

    def first(self, n: int) -> Parity:
        """Return the same of the first n prompts."""
        scores = {name: getattr(self, name)[:n] for name in ("thinkrec", "merged", "peft", "bare")}
        return replace(self, **scores)

    def differences(self, of: Callable[[np.ndarray], float] = np.max) -> dict[str, float]:
        """Return the largest (or `of`) absolute difference of merged, peft and bare from `thinkrec`."""
        ways = {"merged": self.merged, "peft": self.peft, "bare": self.bare}
        return {name: float(of(np.abs(found - self.thinkrec))) for name, found in ways.items()}

    def check(self) -> None:
        """Refuse an export whose scores differ, or that loses part of the adapter's effect.

        Raises:
            ModelError: a score of merged or PEFT differs by more than the tolerance or half of the adapter's
                effect, or the mean difference exceeds LOST of it.
        """
        largest, mean = self.differences(), self.differences(np.mean)
        checks = (
            ("", largest, min(self.tolerance, largest["bare"] / 2)),
            (" on average", mean, LOST * mean["bare"]),
        )
        for how, found, most in checks:
            for name in ("merged", "peft"):
                if not found[name] <= most:
                    raise ModelError(
                        f"the export is not what was trained: scores of {name} differ{how} by "
                        f"{found[name]:.3g} from thinkrec's, allowed are {most:.3g} (the adapter itself "
                        f"moves scores by {found['bare']:.3g}); nothing was written. Weights in bfloat16 may "
                        "be too coarse for a weak adapter: set backbone.dtype to float32 and train again"
                    )


@torch.no_grad()
def plain_scores(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    answers: tuple[int, int],
    kind: Score,
) -> np.ndarray:
    """Score prompts one by one with transformers alone, as a user without thinkrec would, [n] float32.

    Args:
        model: a causal language model, or a PEFT model.
        tokenizer: of the same folder.
        texts: prompts that contain their special tokens.
        answers: token ids of Yes and No.
        kind: which logits make the score.
    """
    device, found = next(model.parameters()).device, []
    for text in Bar(texts, desc="export: checking", unit="prompt"):
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(device)
        yes, no = model(**inputs, logits_to_keep=1).logits[0, -1, list(answers)].float().tolist()
        found.append(yes if kind == "yes_logit" else yes - no)
    return np.array(found, dtype=np.float32)


@torch.no_grad()
def merge(model: nn.Module, folder: Path) -> None:
    """Merge an adapter into the model's weights, computed in float32 and rounded once.

    PEFT's `merge_and_unload` rounds the update to the weights' dtype before adding it, so that bfloat16 is
    rounded twice.
    """
    modules = dict(model.named_modules())
    for name, (a, b) in read_adapter(folder).items():
        weight: torch.Tensor = modules[name].weight
        weight.copy_(weight.float() + (b @ a).to(weight.device))


def write_merged(folder: Path, backbone: Backbone, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write model and tokenizer in a form that transformers 4 and 5, and engines built on them, read alike.

    transformers 5 writes rope, dtype and tokenizer class under names unknown to version 4, which would
    silently use its defaults. The names of both versions are written.
    """
    backbone.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = read_json(folder / "config.json")
    older: dict[str, Any] = {"torch_dtype": config["dtype"]}
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        older["rope_theta"] = rope["rope_theta"]
        older["rope_scaling"] = None if scaling.get("rope_type", "default") == "default" else scaling
    write_json(folder / "config.json", config | older)
    path = folder / "tokenizer_config.json"
    said = read_json(path)
    if said.get("tokenizer_class") == "TokenizersBackend":
        write_json(path, said | {"tokenizer_class": "PreTrainedTokenizerFast"})


def write_adapter(folder: Path, adapter: Path, base: dict[str, str | None]) -> None:
    """Copy a PEFT folder and set its base model."""
    folder.mkdir(parents=True)
    shutil.copyfile(adapter / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    write_json(folder / "adapter_config.json", read_json(adapter / "adapter_config.json") | base)


def check_tokens(tokenizer: PreTrainedTokenizerBase, prompts: Prompts, rows: int) -> None:
    """Check that an exported tokenizer gives thinkrec's token ids, all within the embedding table.

    Args:
        tokenizer: loaded from the exported folder.
        prompts: texts and thinkrec's token ids.
        rows: number of rows of the embedding table.

    Raises:
        ModelError: it does not.
    """
    ids = tokenizer(list(prompts.texts), add_special_tokens=False)["input_ids"]
    for example, found in zip(prompts.examples, ids, strict=True):
        if found != example.ids:
            raise ModelError(
                f"the exported tokenizer reads the prompt of row {example.row} differently from thinkrec; "
                "nothing was written: does the backbone's tokenizer load again as it was saved?"
            )
        if max(found) >= rows:
            raise ModelError(f"the prompt of row {example.row} has a token beyond the {rows} embeddings")


def export_adapter(
    folder: Path,
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerBase,
    adapter: Path,
    base: dict[str, str | None],
    prompts: Prompts,
    size: int,
) -> Parity:
    """Write `merged/` and `adapter/` into a folder and score the prompts with both.

    Args:
        folder: an existing folder.
        backbone: as loaded by the stages; do not use it afterwards, the adapter is merged into its weights.
        tokenizer: the backbone's original tokenizer, without thinkrec's placeholders, which have no row in
            the embedding table.
        adapter: the PEFT folder.
        base: `base_model_name_or_path` and `revision` of the exported adapter.
        prompts: of the parity check, at least one.
        size: rows per forward pass of thinkrec's scorer.

    Returns:
        The scores; the caller checks them.

    Raises:
        ModelError: the adapter does not fit, is not applied, or the written tokenizer reads other tokens.
    """
    model, answers, kind = backbone.model, backbone.answers, prompts.kind
    bank = load_bank([adapter], backbone)
    users = max(example.user for example in prompts.examples) + 1
    student = Student(backbone, bank, torch.ones(users, 1))
    own = score_examples(student, backbone, prompts.examples, size, kind)
    bare = score_examples(Student(backbone), backbone, prompts.examples, size, kind)
    check_applied(own, bare, f"adapter {adapter}")
    write_adapter(folder / "adapter", adapter, base)
    model.set_attn_implementation("sdpa")  # as users without thinkrec have it
    applied = load_peft(backbone, folder / "adapter").eval()
    peft = plain_scores(applied, tokenizer, prompts.texts, answers, kind)
    applied.unload()
    merge(model, adapter)
    write_merged(folder / "merged", backbone, tokenizer)
    again: Any = AutoTokenizer.from_pretrained(folder / "merged", trust_remote_code=False)
    check_tokens(again, prompts, len(backbone.head))
    anew: Any = AutoModelForCausalLM.from_pretrained(
        folder / "merged", dtype="auto", trust_remote_code=False, use_safetensors=True
    )
    anew.to(backbone.head.device).eval()
    merged = plain_scores(anew, again, prompts.texts, answers, kind)
    return Parity(own, merged, peft, bare, TOLERANCE[model.dtype])
