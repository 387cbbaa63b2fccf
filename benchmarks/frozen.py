"""Scoring of all test rows under frozen against rolling histories: prompts written, then scored.

    python benchmarks/frozen.py DATASET [--model tiny|small] [--layouts prompt timeline] [--users 320]

DATASET is one that `thinkrec prep` and `thinkrec summarize` made; run it in the project's root. The backbone
is a Llama with random weights (speed does not depend on them) and a tokenizer of the data set's texts,
with three LoRAs mixed for each user: `tiny` has the shape of the embedded one, `small` is 256 wide with 6
layers. Under frozen histories all candidates of a user share one, which is written, tokenised and encoded
once. Seconds are of the processor, so that others on the machine count less; both protocols are measured
in one process. With --users, a sample of the users is scored. The last column is the largest difference of a
score from that of the prompt alone, over 64 rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from encoders import machine
from engine import PROMPT, SEED, SHAPES, Bench, adapters, made

from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import Layout
from thinkrec.llm.examples import asked_of, asked_one_by_one
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.student import Student
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import Protocol

ALONE = 64
MODELS = {
    "tiny": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 2},
    "small": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 4},
}
LAYOUTS = ["prompt", "timeline"]
COMPARED: tuple[Protocol, ...] = ("rolling", "frozen")


def sampled(data: Interactions, users: int | None) -> np.ndarray:
    """Return the test rows of all users, or of so many drawn at random."""
    rows = data.rows("test")
    drawn = np.random.default_rng(SEED).permutation(np.unique(data.user_id[rows]))[:users]
    return rows[np.isin(data.user_id[rows], drawn)]


def measured(
    student: Student, writer: PromptWriter, data: Interactions, rows: np.ndarray, size: int
) -> tuple[float, float, int, float]:
    """Score rows; return seconds of writing and of scoring, tokens, and the largest difference to alone."""
    start = time.process_time()
    asked = asked_of(writer, data, rows)
    written = time.process_time()
    found = score(student, student.backbone, asked, size, "yes_minus_no")
    ended = time.process_time()
    tokens = sum(len(row.ids) for _, row in asked.rows)
    some = np.unique(np.linspace(0, len(rows) - 1, ALONE).astype(int))
    alone = [
        score(student, student.backbone, Asked.of_rows([each]), 1, "yes_minus_no")[0]
        for each in asked_one_by_one(writer, data, rows[some])
    ]
    return written - start, ended - written, tokens, float(np.abs(found[some] - alone).max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--model", choices=list(MODELS), default="small")
    parser.add_argument(
        "--layouts", nargs="+", choices=["prompt", "timeline"], default=["prompt", "timeline"]
    )
    parser.add_argument("--users", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layout, SHAPES[options.model] = Layout(options.dataset), MODELS[options.model]
    data, items = Interactions.load(layout.interactions), Items.load(layout.items, layout.keywords)
    backbone = made(options.model, items, "cpu", 4096 if options.model == "tiny" else 8192)
    rows = sampled(data, options.users)
    users = len(np.unique(data.user_id[rows]))
    weights = sum(weight.numel() for weight in backbone.model.parameters())
    print(
        f"{machine(options.threads)}; Llama of {weights / 1e6:.1f} M weights; {options.dataset} test, ",
        end="",
    )
    print(f"{len(rows):,} rows of {users} users, batches of {options.batch_size}\n")
    print("| layout | histories | tokens | writing s | scoring s | both s | ratio | difference |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(backbone, adapters(backbone, Path(folder)), data, items, 0, 0, [], PROMPT)
        student = bench.fused()
        for name in options.layouts:
            slowest = 0.0
            for protocol in COMPARED:
                writer = bench.writer(layout=name).under(protocol)
                measured(student, writer, data, rows[:ALONE], options.batch_size)  # warm-up
                writing, scoring, tokens, worst = measured(student, writer, data, rows, options.batch_size)
                both = writing + scoring
                slowest = slowest or both
                figures = f"{tokens:,} | {writing:.1f} | {scoring:.1f} | {both:.1f} | {slowest / both:.2f}"
                print(f"| {name} | {protocol} | {figures} | {worst:.1e} |", flush=True)


if __name__ == "__main__":
    main()
