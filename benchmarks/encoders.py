"""Training epochs of LightGCN and SASRec compared with RecBole's, and MF's time to its best valid AUC.

    python benchmarks/encoders.py RECBOLE_PYTHON INTERACTIONS [--epochs 5] [--threads 2]

RECBOLE_PYTHON is the Python of an environment that holds RecBole 1.2.1 (with numpy 1.23, scipy 1.10 and
pandas 1.5: later ones break it), INTERACTIONS an interactions.parquet of `thinkrec prep`. Both use train
rows on the CPU, the same number of threads, width 64, batch 2,048, 2 layers, and for SASRec 25 items, 1
head and an inner width of 64. RecBole samples a negative per row (BPR), ours uses the row's label; RecBole
makes a sequence per row except a user's first, ours reads sliding windows. Times are medians of training
epochs after a warm-up epoch. MF is trained with the parameters of params.yaml, scoring valid after each
epoch; run it in the project's root.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from thinkrec.cf import trainer
from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Known
from thinkrec.cf.folder import ENCODERS
from thinkrec.config.load import load_params
from thinkrec.config.sections import Cf, EncoderChoice
from thinkrec.data.tables import Interactions
from thinkrec.stages.cf import schedule_of, shape_of

GOALS = {"LightGCN": 3, "SASRec": 10}
MF_GOAL, SEED = 20, 7
SETTINGS: dict[str, Any] = {
    "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO", "group_by": "none", "mode": "full"},
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "train_batch_size": 2048,
    "n_layers": 2,
}
OF_MODEL: dict[str, dict[str, Any]] = {
    "LightGCN": {"embedding_size": 64},
    "SASRec": {
        "hidden_size": 64,
        "inner_size": 64,
        "n_heads": 1,
        "hidden_dropout_prob": 0.2,
        "attn_dropout_prob": 0.2,
        "MAX_ITEM_LIST_LENGTH": 25,
        "loss_type": "BPR",
    },
}


def machine(threads: int) -> str:
    """Describe date, processor, versions, and prior load of the machine."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = f"{names[0].split(': ')[1] if names else platform.machine()}, {os.cpu_count()} cores"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return (
        f"{datetime.date.today()}, {processor}, {threads} threads, load {os.getloadavg()[0]:.1f}, {versions}"
    )


@contextmanager
def timed(name: str) -> Iterator[list[float]]:
    """Record the seconds of each call of a function of the trainer within the block."""
    function: Callable[..., Any] = getattr(trainer, name)
    seconds: list[float] = []

    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - start)
        return result

    setattr(trainer, name, call)
    try:
        yield seconds
    finally:
        setattr(trainer, name, function)


def encoder(name: str, data: Interactions, cf: Cf, choice: EncoderChoice, seed: int) -> Encoder:
    """Make an encoder with its initial weights."""
    known = Known.of(data, int(data.user_id.max()), int(data.item_id.max()))
    return ENCODERS[name](shape_of(cf, choice), known, seed)


def ours(name: str, data: Interactions, epochs: int) -> dict[str, Any]:
    """Measure seconds of each training epoch after the first, rows and optimizer steps per epoch."""
    cf = Cf(epochs=epochs + 1, patience=epochs + 1)
    choice = cf.choice(name)  # type: ignore[arg-type]
    model, steps = encoder(name, data, cf, choice, SEED), 0

    def counted(*_: Any) -> None:
        nonlocal steps
        steps += 1

    hook = register_optimizer_step_post_hook(counted)
    with timed("_epoch") as seconds:
        trainer.fit(model, data, schedule_of(cf, choice), SEED, "frozen")
    hook.remove()
    rows = int(model.examples(data).in_loss.sum())
    return {"seconds": seconds[1:], "rows": rows, "steps": steps / len(seconds)}


def theirs(python: str, name: str, data: Interactions, epochs: int, threads: int) -> dict[str, Any]:
    """Measure the same for RecBole in its own environment."""
    rows = data.rows("train")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows" / "rows.inter"
        path.parent.mkdir()
        with path.open("w") as file:
            file.write("user_id:token\titem_id:token\ttimestamp:float\n")
            # Row numbers replace timestamps, so that ties keep their order.
            for each in zip(data.user_id[rows], data.item_id[rows], data.position[rows], strict=True):
                file.write("\t".join(map(str, each)) + "\n")
        script = str(Path(__file__).with_name("recbole_epochs.py"))
        settings = json.dumps({**SETTINGS, **OF_MODEL[name]})
        result = subprocess.run(
            [python, "-W", "ignore", script, folder, name, str(epochs), str(threads), settings],
            capture_output=True, text=True, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
    if result.returncode:
        raise SystemExit(f"RecBole's side failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def factors(data: Interactions, dataset: str) -> str:
    """Train MF with the parameters of params.yaml until early stopping; return a line."""
    params = load_params()
    choice = params.cf.choice("mf", params.tuned.get(dataset))
    model = encoder("mf", data, params.cf, choice, params.seed)
    times = [time.perf_counter()]
    schedule = schedule_of(params.cf, choice)
    progress = trainer.fit(
        model,
        data,
        schedule,
        params.seed,
        params.choose_by,
        on_epoch=lambda _: times.append(time.perf_counter()),
    )
    best, whole = (times[epoch] - times[0] for epoch in (progress.best_epoch, progress.epoch))
    options = f"width {choice.embedding_size}, rate {choice.learning_rate:g}, decay {choice.weight_decay:g}"
    epochs = f"{progress.best_epoch} of {progress.epoch}"
    return f"| {options} | {progress.best_auc:.4f} | {epochs} | {best:.2f} | {whole:.2f} | {MF_GOAL} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recbole_python")
    parser.add_argument("interactions", type=Path)
    parser.add_argument("--epochs", type=int, default=5, help="timed ones, after one that warms up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dataset", default="ml1m", help="whose tuned parameters MF takes from params.yaml")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = Interactions.load(options.interactions)
    head, lines = machine(options.threads), []
    for name, goal in GOALS.items():
        other = theirs(options.recbole_python, name, data, options.epochs, options.threads)
        own = ours(name.lower(), data, options.epochs)
        one, two = statistics.median(own["seconds"]), statistics.median(other["seconds"])
        counts = f"{own['rows']:,} / {other['rows']:,} | {own['steps']:g} / {other['steps']}"
        lines.append(f"| {name} | {counts} | {one:.3f} | {two:.2f} | {two / one:.1f} | {goal} |")
    print(f"{head}; RecBole's side: {other['versions']}; medians of {options.epochs} epochs\n")
    print("| training epoch | rows (ours / theirs) | steps | ours, s | RecBole, s | times | reach |")
    print("|---|---|---|---|---|---|---|", *lines, sep="\n")
    print("\n| MF | valid AUC | best epoch | seconds to it | with the epochs after it | reach |")
    print("|---|---|---|---|---|---|", factors(data, options.dataset), sep="\n")


if __name__ == "__main__":
    main()
