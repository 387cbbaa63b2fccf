"""The language model's engine against straightforward code: scoring, fusion, training, timelines, reasons.

    python benchmarks/engine.py DATASET [--model 50m|8b|toy] [--parts score fused step ...] [--threads 2]
    python benchmarks/engine.py DATASET --model 8b --sweep 16 32 64 --parts score fused   on a GPU

DATASET is one that `thinkrec prep` and `thinkrec summarize` made; prompts are its own. The backbone is a
Llama architecture with random weights (speed does not depend on them): `50m` in fp32 for a CPU, `8b` is
Llama-3-8B's exact shape in bf16 for a GPU, `toy` tests the script. Both variants of a line take turns in one
process after a warm-up; figures are medians. The straightforward code is the paper's release with current
libraries: one forward pass per row with the logits of all positions, adapters combined and merged per user by
PEFT, TRL's SFTTrainer with defaults, one prompt per row. --sweep first prints a table of training steps by
batch size: ours, with TRL's loss, and with transformers' loss, which takes the logits of all positions.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache
from encoders import machine
from peft import PeftModel
from small_llama import texts_of, train_tokenizer
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from thinkrec.config.sections import Evaluate, JointLoss, Lora, Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import Layout
from thinkrec.llm.adapter import new_adapter
from thinkrec.llm.backbone import Backbone, prepare_tokenizer
from thinkrec.llm.bank import LoraBank
from thinkrec.llm.batches import Example, Packed, collate
from thinkrec.llm.examples import (
    Rationales,
    asked_of,
    recommendation_examples,
    score_examples_of,
    timeline_samples,
)
from thinkrec.llm.generate import generate_reasons
from thinkrec.llm.loss import joint_loss
from thinkrec.llm.packing import side_by_side
from thinkrec.llm.scorer import Asked, score, score_examples
from thinkrec.llm.student import Student, hidden_states
from thinkrec.progress import Bar
from thinkrec.prompts.render import PromptWriter
from thinkrec.runs import peak_memory_mb

PROMPT = Prompt(history_length=10, verdicts="before")  # as the paper's
SEED, CANDIDATES, EXPERTS, ROWS, LONG, LARGE = 7, 20, 3, 16, 1024, 128_256
SHAPES: dict[str, dict[str, Any]] = {
    "toy": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2},
    "50m": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 10, "num_attention_heads": 8},
    "8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
    },
}  # fmt: skip
VOCABULARY = {"toy": 2_000, "50m": 32_000, "8b": LARGE}
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s from NVIDIA's data sheets (SXM)."""


@dataclass(frozen=True)
class Line:
    """A line of the table: title, both figures in `unit`, their ratio, the goal."""

    what: str
    ours: float
    other: float
    unit: str
    ratio: float
    aim: str


@dataclass(frozen=True)
class Bench:
    """State shared by the parts."""

    backbone: Backbone
    folders: list[Path]
    data: Interactions
    items: Items
    users: int
    repeats: int
    sizes: list[int]
    prompt: Prompt

    @property
    def device(self) -> torch.device:
        return self.backbone.head.device

    def writer(self, **changes: Any) -> PromptWriter:
        return PromptWriter(
            self.items,
            self.prompt.model_copy(update={"reception": False, **changes}),
            self.backbone.tokenizer,
        )

    @property
    def gates(self) -> torch.Tensor:
        drawn = torch.rand(self.data.users + 1, EXPERTS, generator=torch.Generator().manual_seed(SEED))
        return drawn / drawn.sum(1, keepdim=True)

    def fused(self) -> Student:
        return Student(self.backbone, LoraBank(self.folders, self.backbone.model), self.gates)

    def copied(self, own: bool = False) -> Any:
        """Copy the backbone's modules, sharing weights or, with `own`, copying them."""
        weights = [] if own else self.backbone.model.parameters()
        return copy.deepcopy(self.backbone.model, {id(weight): weight for weight in weights})

    def peft(self, count: int = 1, own: bool = False) -> PeftModel:
        """Wrap a copy of the backbone with PEFT's adapters; merging them needs `own`."""
        model = PeftModel.from_pretrained(self.copied(own), str(self.folders[0]), adapter_name="0")
        for number in range(1, count):
            model.load_adapter(str(self.folders[number]), adapter_name=str(number))
        return model.eval()

    def rows(self, count: int) -> np.ndarray:
        """Select late rows of as many users, with full histories."""
        full = np.flatnonzero(self.data.position >= self.prompt.history_length)
        last = full[np.append(np.flatnonzero(np.diff(self.data.user_id[full])), len(full) - 1)]
        return np.sort(np.random.default_rng(SEED).choice(last, min(count, len(last)), replace=False))

    def seconds(self, function: Callable[[], Any]) -> float:
        """Measure one call, with the device synchronised."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def compared(self, ours: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
        """Measure median seconds of both, called in turn."""
        ours(), other()
        pairs = [(self.seconds(ours), self.seconds(other)) for _ in range(self.repeats)]
        return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def made(size: str, items: Items, device: str, vocabulary: int) -> Backbone:
    """Make a backbone with random weights, and a tokenizer of the data set's titles."""
    tokenizer = train_tokenizer(texts_of(items), min(vocabulary, 16_000))
    answers = prepare_tokenizer(tokenizer)
    torch.manual_seed(SEED)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        torch.set_default_dtype(dtype)
        config = LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=size != "8b", **SHAPES[size])
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.requires_grad_(False)
    return Backbone(model.eval(), tokenizer, answers, size)


def adapters(backbone: Backbone, folder: Path) -> list[Path]:
    """Save experts with random A and B as PEFT folders."""
    folders = []
    for number in range(EXPERTS):
        peft = new_adapter(backbone, Lora(), number)
        noise = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for name, weight in peft.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn(weight.shape, generator=noise) * 0.02)
        peft.save_pretrained(str(folder / str(number)))
        peft.unload()
        folders.append(folder / str(number))
    return folders


def candidates(bench: Bench, users: int, count: int) -> list[list[Example]]:
    """Make `count` prompts per user: the same history, different items."""
    writer, rng = bench.writer(), np.random.default_rng(SEED)
    groups = []
    for row in bench.rows(users).tolist():
        drawn = rng.choice(np.arange(1, len(bench.items.title)), count, replace=False)
        groups.append(score_examples_of(writer, bench.data, np.full(count, row), drawn))
    return groups


def part_score(bench: Bench) -> list[Line]:
    """Score many candidates per user, and one, with per-user mixtures."""
    return [
        *scoring_lines(bench, bench.users, CANDIDATES, "10"),
        *scoring_lines(bench, 4 * bench.users, 1, ""),
    ]


def scoring_lines(bench: Bench, users: int, count: int, aim: str) -> list[Line]:
    """Score `count` candidates per user with batches of several sizes."""
    groups = candidates(bench, users, count)
    every, student = [example for group in groups for example in group], bench.fused()
    some = (
        groups[: max(len(groups) // 8, 1)] if bench.device.type == "cuda" else groups
    )  # one at a time is slow
    peft, gates = bench.peft(EXPERTS, own=True), bench.gates
    names, (yes, no) = [str(k) for k in range(EXPERTS)], bench.backbone.answers
    scores: dict[str, np.ndarray] = {}

    def ours(size: int) -> None:
        scores["ours"] = score_examples(student, bench.backbone, every, size, "yes_minus_no")

    @torch.no_grad()
    def other() -> None:
        values = []
        for group in some:
            peft.add_weighted_adapter(names, gates[group[0].user].tolist(), "user", combination_type="cat")
            peft.set_adapter("user")
            peft.eval()
            peft.merge_adapter(["user"])
            for example in group:
                logits = (
                    peft(input_ids=torch.tensor([example.ids], device=bench.device)).logits[0, -1].float()
                )
                values.append(float(logits[yes] - logits[no]))
            peft.unmerge_adapter()
            peft.delete_adapter("user")
        scores["other"] = np.array(values)

    tokens = sum(len(example.ids) for example in every)
    laid = sum(len(row.ids) for _, row in Asked.of_prompts(every, bench.backbone.placeholders[1]).rows)
    lines = []
    for size in bench.sizes:
        seconds = bench.compared(lambda size=size: ours(size * CANDIDATES), other)  # type: ignore[misc]
        rates = len(every) / seconds[0], sum(map(len, some)) / seconds[1]
        what = f"scoring {count} candidates a user, fused, {size * CANDIDATES} rows a batch"
        lines.append(Line(what, *rates, "rows/s", rates[0] / rates[1], aim))
        if bench.device.type == "cuda":
            lines.append(utilisation(bench, laid / seconds[0], backward=False))
    difference = float(np.abs(scores["ours"][: len(scores["other"])] - scores["other"]).max())
    lines.append(Line(f"their tokens, {count} candidates a user", laid, tokens, "tokens", tokens / laid, ""))
    return [*lines, Line("largest difference of a score", difference, 0, "", difference, "<= 1e-4 (fp32)")]


def part_fused(bench: Bench) -> list[Line]:
    """Compare fused experts with one plain LoRA on the same batch, and with PEFT's exact combination."""
    batch = collate(score_examples_of(bench.writer(), bench.data, bench.rows(16)), bench.backbone.pad)
    batch, student, peft = batch.to(bench.device), bench.fused(), bench.peft()
    with torch.no_grad():
        seconds = bench.compared(lambda: student(batch), lambda: hidden_states(peft, batch, bench.backbone))
    lines = [
        Line("a forward pass, fused against one LoRA", *seconds, "s", seconds[0] / seconds[1], "<= 1.05")
    ]
    peft, worst = bench.peft(EXPERTS), 0.0
    with torch.no_grad():
        mixed = functional.linear(student(batch), bench.backbone.head)
        for line, user in enumerate(batch.user.tolist()[:4]):
            names = [str(k) for k in range(EXPERTS)]
            peft.add_weighted_adapter(names, bench.gates[user].tolist(), f"u{line}", combination_type="cat")
            peft.set_adapter(f"u{line}")
            peft.eval()
            end = int(batch.end[line])
            logits = peft(input_ids=batch.ids[line : line + 1, :end]).logits[0]
            worst = max(worst, float((logits - mixed[line, :end]).abs().max()))
    return [
        *lines,
        Line("largest difference of a logit to PEFT's cat", worst, 0, "", worst, "<= 1e-5 (fp32)"),
    ]


def samples(bench: Bench) -> list[Example]:
    """Make examples of realistic lengths: rows of train, a fifth with an answer of 60 tokens."""
    rng, loss = np.random.default_rng(SEED), JointLoss()
    rows = np.sort(
        rng.choice(bench.data.rows("train"), min(512, len(bench.data.rows("train"))), replace=False)
    )
    examples = recommendation_examples(bench.writer(), bench.data, rows, loss)
    longer = rng.integers(0, len(bench.backbone.tokenizer), (len(examples), 60)).tolist()
    reasons = rng.random(len(examples)) < loss.reasoning_share
    return [
        replace(e, ids=[*e.ids, *longer[k]], bce=loss.reasoning_bce, ce=loss.reasoning_ce)
        if reasons[k]
        else e
        for k, e in enumerate(examples)
    ]


def trained(peft: Any, batches: Sequence[Any], loss: Callable[[Any], torch.Tensor]) -> Callable[[], None]:
    """Make a function that trains on batches with a loss."""
    adam = torch.optim.AdamW([w for w in peft.parameters() if w.requires_grad], 1e-4)
    peft.train()

    def steps() -> None:
        for rows in batches:
            loss(rows).backward()
            adam.step()
            adam.zero_grad()

    return steps


def stepping(bench: Bench, peft: Any, batches: Sequence[Sequence[Example | Packed]]) -> Callable[[], None]:
    """Make a function that trains on batches with our code."""

    def loss(rows: Sequence[Example | Packed]) -> torch.Tensor:
        batch = collate(rows, bench.backbone.pad).to(bench.device)
        hidden = hidden_states(peft, batch, bench.backbone)
        losses = joint_loss(hidden, bench.backbone.head, batch, bench.backbone.answers, "yes_minus_no")
        return losses.total.mean()

    return trained(peft, batches, loss)


def padded(bench: Bench, rows: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Pad rows as input of transformers, with answers as labels."""
    batch = collate(rows, bench.backbone.pad).to(bench.device)
    place = torch.arange(batch.ids.shape[1], device=bench.device)
    start = torch.tensor([example.start for example in rows], device=bench.device)
    there = place < batch.end[:, None]
    labels = batch.ids.masked_fill(~(there & (place >= start[:, None])), -100)
    return {"input_ids": batch.ids, "attention_mask": there.long(), "labels": labels}


def plain(bench: Bench, peft: Any, batches: Sequence[Sequence[Example]]) -> Callable[[], None]:
    """Make the training step of TRL's SFTTrainer: padded rows, its own loss."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    def batched(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = collate([batches[0][row["number"]] for row in rows], bench.backbone.pad)
        return {"input_ids": batch.ids, "labels": batch.ids}

    config = SFTConfig(
        output_dir=tempfile.mkdtemp(), bf16=False, gradient_checkpointing=False, report_to=[],
        remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=bench.device.type == "cpu",
    )  # fmt: skip
    trainer: Any = SFTTrainer(
        model=peft, args=config, train_dataset=Dataset.from_dict({"number": [0]}), data_collator=batched,
        processing_class=bench.backbone.tokenizer,
    )  # fmt: skip
    return trained(peft, batches, lambda rows: trainer.compute_loss(peft, padded(bench, rows)))


def full(bench: Bench, peft: Any, batches: Sequence[Sequence[Example]]) -> Callable[[], None]:
    """Make the training step of plain transformers and PEFT: padded rows, logits of all positions."""
    return trained(peft, batches, lambda rows: peft(**padded(bench, rows), use_cache=False).loss)


def part_step(bench: Bench) -> list[Line]:
    """Compare training steps of the joint loss with SFTTrainer's, in tokens per second."""
    return [line for size in bench.sizes for line in training_lines(bench, samples(bench), 4 * size)]


def laid(bench: Bench, every: list[Example], size: int, count: int) -> dict[str, list[Any]]:
    """Make `count` batches of `size` rows: in order, of similar length, packed."""
    random = [every[k * size : (k + 1) * size] for k in range(count)]
    window = sorted(every, key=lambda example: len(example.ids))
    chosen = np.random.default_rng(SEED).choice(len(window) // size, count, replace=False)
    bucketed = [window[k * size : (k + 1) * size] for k in chosen.tolist()]
    packed = [side_by_side(batch, bench.backbone.placeholders[1]) for batch in random]
    return {"as they come": random, "by length": bucketed, "packed": packed}


def training_lines(bench: Bench, every: list[Example], size: int) -> list[Line]:
    """Compare steps of `size` rows, bucketed by length and packed."""
    batches = laid(bench, every, size, 4 if bench.device.type == "cuda" else 2)
    tokens = {name: sum(len(row.ids) for batch in each for row in batch) for name, each in batches.items()}
    other = plain(bench, new_peft(bench), batches["as they come"])
    lines = []
    for what, checkpointing in (("by length", False), ("packed", False), ("packed", True)):
        seconds = bench.compared(stepping(bench, new_peft(bench, checkpointing), batches[what]), other)
        rates = tokens[what] / seconds[0], tokens["as they come"] / seconds[1]
        title = f"training step of {size} rows, {what}{', checkpointing' if checkpointing else ''}"
        lines.append(Line(title, *rates, "tokens/s", rates[0] / rates[1], "1.6"))
        if bench.device.type == "cuda":
            lines.append(utilisation(bench, rates[0], backward=True))
    return lines


WAYS: dict[str, tuple[str, Callable[[Bench, Any, Any], Callable[[], None]]]] = {
    "ours, by length": ("by length", stepping),
    "ours, packed": ("packed", stepping),
    "TRL's loss": ("as they come", plain),
    "logits of every position": ("as they come", full),
}


def sweep(bench: Bench, sizes: list[int]) -> None:
    """Print the cost of training steps by batch size and variant."""
    print(
        "| rows a step | way | tokens/s | model FLOP utilisation | peak memory, GB |\n|---|---|---|---|---|"
    )
    every = samples(bench)
    for size in sizes:
        batches = laid(bench, every, size, 2)
        for (way, (how, make)), checkpointing in itertools.product(WAYS.items(), (False, True)):
            clear_device_cache(garbage_collection=True)
            try:
                steps = make(bench, new_peft(bench, checkpointing), batches[how])
                memory = peak(bench, steps) / 1e3
                rate = sum(len(row.ids) for batch in batches[how] for row in batch) / bench.seconds(steps)
                cells = f"{rate:,.0f} | {share_of_peak(bench, rate, backward=True):.3f} | {memory:.1f}"
            except torch.OutOfMemoryError:
                steps, cells = None, "out of memory | | "
            del steps
            print(f"| {size} | {way}{', checkpointing' if checkpointing else ''} | {cells} |", flush=True)
    print()


def peak(bench: Bench, steps: Callable[[], None]) -> float:
    """Measure peak memory in MB (10^6 bytes) of steps, on the device, or of this process on a CPU."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    steps()
    return torch.cuda.max_memory_allocated() / 1e6 if bench.device.type == "cuda" else peak_memory_mb()


def longest(bench: Bench) -> list[Example]:
    """Make rows of LONG tokens, the limit of a prompt, by repeating each row's tokens."""
    rows = samples(bench)[:ROWS]
    return [replace(e, ids=((e.ids[: e.start] * LONG)[: LONG - len(e.ids) + e.start] + e.ids[e.start :]),
                    start=LONG - len(e.ids) + e.start) for e in rows]  # fmt: skip


def memory_of(bench: Bench, way: str) -> float:
    """Measure peak memory of a training step of ROWS rows, by variant."""
    rows = longest(bench) if way.endswith("long") else samples(bench)[:ROWS]
    if way == "plain":
        return peak(bench, plain(bench, new_peft(bench), [rows]))
    packed = side_by_side(rows, bench.backbone.placeholders[1])
    return peak(bench, stepping(bench, new_peft(bench, way != "ours"), [packed]))


def part_memory(bench: Bench) -> list[Line]:
    """Compare peak memory of a training step; on a CPU each in its own process."""

    def measured(way: str) -> float:
        if bench.device.type == "cuda":
            return memory_of(bench, way)
        script = [sys.executable, __file__, *sys.argv[1:], "--vocabulary", str(LARGE), "--memory-of", way]
        return float(subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout)

    ways = {"ours": f"{ROWS} rows, vocabulary {LARGE}", "ours checkpointing": "the same, checkpointing"}
    other = measured("plain")
    lines = []
    for way, what in ways.items():
        own = measured(way)
        lines.append(Line(f"peak memory of a step, {what}", own, other, "MB", own / other, "<= 1/3"))
    if bench.device.type == "cuda":
        own, what = measured("ours long"), f"{ROWS} rows of {LONG} tokens, checkpointing"
        lines.append(Line(f"peak memory of a step, {what}", own, 0, "MB", own, "<= 40,000"))
    return lines


def new_peft(bench: Bench, checkpointing: bool = False) -> Any:
    """Wrap the backbone with one trainable LoRA."""
    model = PeftModel.from_pretrained(bench.copied(), str(bench.folders[0]), is_trainable=True)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def share_of_peak(bench: Bench, rate: float, backward: bool) -> float:
    """Compute the share of the device's peak: 2 FLOP per weight and token forward, and as many backward.

    NaN if the peak is unknown.
    """
    weights = sum(w.numel() for w in bench.backbone.model.model.layers.parameters())
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else ""
    peaks = [value for key, value in PEAK.items() if key in name]
    return rate * weights * (4 if backward else 2) / (peaks[0] if peaks else float("nan"))


def utilisation(bench: Bench, rate: float, backward: bool) -> Line:
    """Format the share as a line."""
    share = share_of_peak(bench, rate, backward)
    return Line("model FLOP utilisation", share, 1, "", share, "0.45" if backward else "0.60")


def part_timeline(bench: Bench) -> list[Line]:
    """Compare timelines with prompts in rows per second, training and scoring the same rows."""
    users = np.unique(bench.data.user_id[bench.rows(4 if bench.device.type == "cpu" else 32)])
    rows = np.flatnonzero(np.isin(bench.data.user_id, users))[: ROWS * 10]
    student, writers = bench.fused(), [bench.writer(layout=name) for name in ("timeline", "prompt")]
    questions = [asked_of(writer, bench.data, rows) for writer in writers]
    scoring = bench.compared(
        *(lambda a=a: score(student, bench.backbone, a, 64, "yes_minus_no") for a in questions)
    )
    loss, none = JointLoss(reasoning_share=0), Rationales(np.empty(0, np.int64), [])
    lines_of = timeline_samples(writers[0], bench.data, rows, none, loss, 1, SEED)
    prompts = recommendation_examples(writers[1], bench.data, rows, loss)
    per = max(round(16 * len(lines_of) / len(rows)), 1)
    batches: list[Any] = [[lines_of[k : k + per] for k in range(0, len(lines_of), per)]]
    batches.append([prompts[k : k + 16] for k in range(0, len(prompts), 16)])
    peft = new_peft(bench)
    training = bench.compared(*(stepping(bench, peft, each) for each in batches))
    lines = []
    for what, seconds in (("scoring", scoring), ("training", training)):
        rates = len(rows) / seconds[0], len(rows) / seconds[1]
        lines.append(
            Line(f"{what} by time lines against prompts", *rates, "rows/s", rates[0] / rates[1], "6")
        )
    return lines


def part_generate(bench: Bench) -> list[Line]:
    """Compare generation with per-user fusion and with one PEFT adapter, of the same tokens."""
    examples = score_examples_of(bench.writer(), bench.data, bench.rows(16))
    options = Evaluate(max_reason_tokens=32, batch_size=16)
    model: Any = bench.peft().base_model.model
    one = Student(replace(bench.backbone, model=model))
    fused = bench.fused()
    seconds = bench.compared(
        lambda: generate_reasons(fused, examples, options, SEED),
        lambda: generate_reasons(one, examples, options, SEED),
    )
    return [Line("generation, fused against one adapter", *seconds, "s", seconds[0] / seconds[1], "<= 1.10")]


PARTS = {
    "score": part_score, "fused": part_fused, "step": part_step, "memory": part_memory,
    "timeline": part_timeline, "generate": part_generate,
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--model", choices=list(SHAPES), default="50m")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--users", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[4], help="users a batch; 4 rows of training each"
    )
    parser.add_argument(
        "--sweep", type=int, nargs="+", default=[], help="rows of the training steps of a table of its own"
    )
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layout, device = Layout(options.dataset), "cuda" if torch.cuda.is_available() else "cpu"
    items = Items.load(layout.items, layout.keywords)
    backbone = made(options.model, items, device, options.vocabulary or VOCABULARY[options.model])
    if options.memory_of:
        with tempfile.TemporaryDirectory() as folder:
            data = Interactions.load(layout.interactions)
            prompt = PROMPT
            bench = Bench(backbone, adapters(backbone, Path(folder)), data, items, 0, 0, [], prompt)
            print(memory_of(bench, options.memory_of))
        return
    weights = sum(weight.numel() for weight in backbone.model.parameters())
    where = torch.cuda.get_device_name() if device == "cuda" else machine(options.threads)
    print(f"{where}; Llama of {weights / 1e6:.0f} M random weights, prompts of {options.dataset}\n")
    with tempfile.TemporaryDirectory() as folder:
        folders = adapters(backbone, Path(folder))
        data = Interactions.load(layout.interactions)
        bench = Bench(backbone, folders, data, items, options.users, options.repeats, options.sizes, PROMPT)
        if options.sweep:
            sweep(bench, options.sweep)
        print("| what | ours | straightforward | unit | ratio | aim |\n|---|---|---|---|---|---|")
        for name in Bar(options.parts, desc="engine", unit="part"):
            for line in PARTS[name](bench):
                figures = f"{line.ours:.4g} | {line.other:.4g} | {line.unit} | {line.ratio:.3g}"
                print(f"| {line.what} | {figures} | {line.aim} |", flush=True)


if __name__ == "__main__":
    main()
