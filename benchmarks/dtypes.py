"""A project's backbone in bfloat16 against float32, and our engine against plain transformers and PEFT.

    python benchmarks/dtypes.py DATASET [--rows 64] [--size 4] [--repeats 3] [--threads 2]

Run it in the root of a project in which `thinkrec synthesize` and `thinkrec backbone` ran for DATASET. Its
prompts, rationales and parameters are used. All variants take turns in one process after a warm-up; figures
are medians of tokens a second, padding not counted. `step` is forward and backward of the joint loss over a
LoRA as `global` trains it, from `global.start`; `plain` is the same batches through PEFT with the loss of
transformers, as the library's users write it. `score` is a scoring of valid rows, plain one row a prompt. The
last line compares the scores of both dtypes over the same rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoders import machine
from peft import LoraConfig, get_peft_model
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, sample_rows
from thinkrec.layout import Layout
from thinkrec.llm.adapter import new_adapter, start_folder
from thinkrec.llm.attention import choose_attention
from thinkrec.llm.backbone import Backbone, load_backbone, source_of
from thinkrec.llm.batches import Example, collate
from thinkrec.llm.examples import Rationales, asked_of, score_examples_of, training_samples
from thinkrec.llm.loss import joint_loss
from thinkrec.llm.scorer import score
from thinkrec.llm.student import hidden_states
from thinkrec.prompts.render import PromptWriter

SEED = 7


def in_dtype(layout: Layout, dtype: torch.dtype) -> Backbone:
    """Load the project's backbone in another dtype than its own."""
    backbone = load_backbone(layout.backbone)
    backbone.model.set_attn_implementation("sdpa")
    backbone.model.to(dtype)
    choose_attention(backbone.model)
    return backbone


def ours(backbone: Backbone, params: Params, root: Path) -> Any:
    """Add the LoRA of `global`."""
    start = start_folder(params.global_.start, root) if params.global_.start else None
    return new_adapter(backbone, params.global_.lora, SEED, start=start).train()


def step(model: Any, backbone: Backbone, batches: Sequence[Sequence[Example]], kind: Any) -> None:
    """Run forward and backward passes of the joint loss."""
    for rows in batches:
        batch = collate(rows, backbone.pad)
        hidden = hidden_states(model, batch, backbone)
        joint_loss(hidden, backbone.head, batch, backbone.answers, kind).total.mean().backward()


def plain_step(model: Any, pad: int, batches: Sequence[Sequence[Example]]) -> None:
    """Run forward and backward passes of the loss of transformers."""
    for rows in batches:
        batch = collate(rows, pad)
        place = torch.arange(batch.ids.shape[1])
        start = torch.tensor([example.start for example in rows])
        there = place < batch.end[:, None]
        labels = batch.ids.masked_fill(~(there & (place >= start[:, None])), -100)
        model(input_ids=batch.ids, attention_mask=there.long(), labels=labels).loss.backward()


@torch.no_grad()
def plain_score(model: Any, pad: int, batches: Sequence[Sequence[Example]]) -> None:
    """Compute the logits of the last position of each prompt."""
    for rows in batches:
        batch = collate(rows, pad)
        there = torch.arange(batch.ids.shape[1]) < batch.end[:, None]
        model(input_ids=batch.ids, attention_mask=there.long())


def rates(parts: dict[str, tuple[Callable[[], object], int]], repeats: int) -> dict[str, float]:
    """Return the median tokens a second of each part, [tokens of one call], called in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(repeats + 1):
        for name, (function, _) in parts.items():
            began = time.perf_counter()
            function()
            if turn:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - began)
    return {name: tokens / statistics.median(seconds[name]) for name, (_, tokens) in parts.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--size", type=int, default=4, help="rows of a pass")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layout, params = Layout(options.dataset), load_params()
    kind, data = params.loss.score, Interactions.load(layout.interactions)
    low, high = in_dtype(layout, torch.bfloat16), in_dtype(layout, torch.float32)
    writer = PromptWriter.load(layout, low.tokenizer, params.prompt, protocol=params.choose_by)
    rationales = Rationales.for_training(layout, data, params.loss)
    drawn = training_samples(writer, data, data.rows("train"), rationales, params.loss, params.global_, SEED)
    samples = [row for row in drawn if isinstance(row, Example)][: options.rows]
    batches = [samples[k : k + options.size] for k in range(0, len(samples), options.size)]
    rows = sample_rows(data.rows("valid"), 4 * options.rows, SEED)
    asked, prompts = asked_of(writer, data, rows), score_examples_of(writer, data, rows)
    prompts.sort(key=lambda example: -len(example.ids))
    scored = [prompts[k : k + options.size] for k in range(0, len(prompts), options.size)]

    source, revision = source_of(layout.backbone)
    bare = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=torch.bfloat16)
    bare.resize_token_embeddings(max(len(low.tokenizer), bare.config.vocab_size))
    lora = params.global_.lora
    peft = get_peft_model(
        bare.requires_grad_(False),
        LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
            target_modules=lora.target_modules, task_type="CAUSAL_LM",
        ),
    )  # fmt: skip
    taught, read = sum(len(row.ids) for row in samples), sum(len(row.ids) for row in prompts)
    models = {
        "bfloat16": (ours(low, params, layout.root), low),
        "float32": (ours(high, params, layout.root), high),
    }
    found: dict[str, np.ndarray] = {}

    def scoring(name: str) -> None:
        model, backbone = models[name]
        model.eval()
        size = options.size * 8
        found[name] = score(lambda batch: hidden_states(model, batch, backbone), backbone, asked, size, kind)
        model.train()

    parts: dict[str, tuple[Callable[[], object], int]] = {
        "step, bfloat16": (lambda: step(*models["bfloat16"], batches, kind), taught),
        "step, float32": (lambda: step(*models["float32"], batches, kind), taught),
        "step, plain, bfloat16": (lambda: plain_step(peft.train(), low.pad, batches), taught),
        "score, bfloat16": (lambda: scoring("bfloat16"), read),
        "score, float32": (lambda: scoring("float32"), read),
        "score, plain, bfloat16": (lambda: plain_score(peft.eval(), low.pad, scored), read),
    }
    speed = rates(parts, options.repeats)
    print(
        f"{machine(options.threads)}; {low.name}, {len(samples)} samples of {taught / len(samples):.0f} "
        f"tokens, {len(rows)} valid rows whose prompts have {read / len(rows):.0f}\n"
    )
    print("| what | bfloat16 | float32 | ratio | plain bfloat16 | ratio |\n|---|---|---|---|---|---|")
    for what in ("step", "score"):
        own, full, other = (speed[f"{what}, {name}"] for name in ("bfloat16", "float32", "plain, bfloat16"))
        figures = f"{own:.0f} | {full:.0f} | {own / full:.2f} | {other:.0f} | {own / other:.2f}"
        print(f"| {what}, tokens of its prompts a second | {figures} |")
    one, two = found["bfloat16"], found["float32"]
    print(f"\nScores: largest difference {np.abs(one - two).max():.3f}, ", end="")
    print(f"rank correlation {spearmanr(one, two).statistic:.4f} over {len(one)} rows")


if __name__ == "__main__":
    main()
