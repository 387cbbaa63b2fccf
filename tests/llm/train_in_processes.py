"""Trains an adapter and a projector as one of several processes; run by test_processes.py."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from thinkrec.config.sections import Global, Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import Layout
from thinkrec.llm.adapter import new_adapter
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.examples import score_examples_of
from thinkrec.llm.projector import Projector
from thinkrec.llm.scorer import Asked
from thinkrec.llm.student import Student, Vectors
from thinkrec.llm.trainer import Task, train, trained_weights
from thinkrec.prompts.render import PromptWriter


def main(root: Path, kind: str, batch_size: int, out: Path) -> None:
    """Train on 16 rows and write the weights and the log."""
    out.mkdir(parents=True, exist_ok=True)
    layout = Layout("demo", root)
    loaded, data = load_backbone(layout.backbone), Interactions.load(layout.interactions)
    items = Items.load(layout.items, layout.keywords)
    writer = PromptWriter(items, Prompt(history_length=4, keywords=3), loaded.tokenizer, kind == "projector")
    train_rows = data.rows("train")
    examples = score_examples_of(writer, data, train_rows[:: len(train_rows) // 15][:16])
    samples = []
    for number, example in enumerate(examples):
        tail = [5, 9, 30, 12] if number % 4 == 0 else []  # answers of different lengths
        samples.append(
            replace(example, ids=[*example.ids, loaded.answers[1 - example.label], *tail], bce=0.6, ce=0.4)
        )
    training = Global(
        epochs=1, evaluations=1, batch_size=batch_size, warmup_steps=0, learning_rate=0.01, packing=True
    )
    torch.manual_seed(0)
    model: torch.nn.Module
    if kind == "projector":
        vectors = Vectors(torch.randn(data.users + 1, 4), torch.randn(len(items.title), 4))
        model = Student(loaded, None, None, Projector(4, loaded.head.shape[1], 2), vectors)
    else:
        model = new_adapter(loaded, training.lora.model_copy(update={"dropout": 0.0}), 1)
    task = Task(loaded, "yes_minus_no", Asked.of_prompts(examples[:4], loaded.placeholders[1]))
    history = train(model, samples, task, training, out / "work", 1)
    if os.environ.get("RANK", "0") == "0":
        save_file({name: weight.detach().clone() for name, weight in trained_weights(model)}, out / "weights")
        (out / "history.json").write_text(json.dumps(history))


if __name__ == "__main__":
    for each in sys.argv[4:]:
        main(Path(sys.argv[1]), each, int(sys.argv[2]), Path(sys.argv[3]) / each)
