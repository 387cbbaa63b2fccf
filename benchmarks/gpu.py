"""Run all of ThinkRec with SmolLM2, and measure the speed at full size, on one GPU.

    python benchmarks/gpu.py PROJECT --out RESULTS [--dataset ml1m] [--model smollm2]
    python benchmarks/gpu.py PROJECT --out RESULTS --dataset demo --toy --parts thinkrec=1800

The second line tries it, on a CPU too. PROJECT is a folder with a params.yaml (`thinkrec init PROJECT`) that
has --dataset; its raw files are there, or `prep`, `summarize` and `synthesize` have run elsewhere and came
along. --model is any value of `backbone.model`; without a network, bring PROJECT/models/backbones/smollm2
along. Stages that have a record are left as they are.
Parts, each in a process of its own:

- `thinkrec`: all stages up to `evaluate`, in bfloat16, under frozen and rolling histories;
- `engine`: Llama-3-8B's architecture with random weights (benchmarks/engine.py);
- `agent`: Qwen3-0.6B's (benchmarks/agent.py).

A part that fails does not stop the others. `--parts thinkrec=300 engine=150` gives each its seconds, after
which it ends; one that would not fit into --seconds is left out. RESULTS holds what each part has reached so
far: table.md, log.txt, engine.md, agent.md, reports.tar.gz, adapters.tar.gz. --toy takes few users, rows and
steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinkrec.config.load import load_params
from thinkrec.config.presets import PRESETS
from thinkrec.config.sections import Experts, Global, Params, Training
from thinkrec.config.text import mapping
from thinkrec.config.write import params_text

HERE = Path(__file__).resolve().parent
STAGES = (
    "prep", "summarize", "synthesize", "backbone", "baselines", "cf", "global", "cluster", "experts",
    "projector", "evaluate",
)  # fmt: skip
PARTS = {"thinkrec": 420, "engine": 170, "agent": 80}
"""Seconds of each, in the order in which they run."""
SYSTEMS = (
    "item_mean", "user_item_mean", "lightgcn", "sasrec_labels", "gbdt", "backbone", "global",
    "thinkrec-no-projector", "thinkrec",
)  # fmt: skip
ENGINE = {
    name: f"--model {name} {values} --parts score fused generate timeline".split()
    for name, values in {
        "8b": "--sweep 16 32 64 --users 16 --sizes 4 16 --repeats 2",
        "toy": "--sweep 4 --users 2 --sizes 1 --repeats 1",
    }.items()
}
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "THINKREC_DEBUG": "1", "TOKENIZERS_PARALLELISM": "true"}
FIGURES = ("auc", "uauc", "ndcg@5", "map@5")
SMALL: dict[str, Any] = PRESETS["small-gpu"] | {
    "backbone.model": "smollm2",
    "global.start": Global().start,
    "training.learning_rate": Training().learning_rate,
    "experts.learning_rate": Experts().learning_rate,
}
"""`small-gpu` with SmolLM2, its start, and the learning rates that go with it."""
TOY: dict[str, Any] = {
    "backbone.dtype": "auto",  # a CPU without bfloat16 takes hours in it
    "demo.users": 20, "demo.items": 60, "demo.interactions": 400,
    "synthesize.rows": 40,
    "training.batch_size": 48, "training.valid_rows": 10, "training.warmup_steps": 1,
    **{f"{section}.epochs": 0.1 for section in ("training", "experts", "projector")},
    "cf.epochs": 2, "cf.seeds": 1, "baselines.seeds": 1,
    "evaluate.bootstrap_draws": 20, "evaluate.reasons": 4, "evaluate.max_reason_tokens": 24,
}  # fmt: skip


def values_of(model: str, toy: bool) -> dict[str, Any]:
    """Return the values that a model is trained with, by dotted key."""
    values = SMALL if model == "smollm2" else PRESETS["small-gpu"] | {"backbone.model": model}
    return values | (TOY if toy else {})


def write_params(project: Path, values: dict[str, Any]) -> None:
    """Change values of a project's params.yaml, by dotted key."""
    path = project / "params.yaml"
    values_now: dict[str, Any] = mapping(params_text(load_params(path)))  # without what is inherited
    for key, value in values.items():
        *sections, name = key.split(".")
        section = values_now
        for part in sections:
            section = section[part]
        section[name] = value
    path.write_text(params_text(Params.model_validate(values_now)), encoding="utf-8")


def pack(path: Path, root: Path, names: list[str]) -> None:
    """Archive the existing folders below `root`."""
    beside = path.with_name(f".{path.name}")
    with tarfile.open(beside, "w:gz") as archive:
        for name in names:
            if (root / name).exists():
                archive.add(root / name, name)
    beside.replace(path)


def run_stages(project: Path, dataset: str, out: Path) -> None:
    """Run the stages without a record, `demo` first where it is the data set; save results after each.

    Raises:
        SystemExit: a stage failed.
    """
    import torch
    from accelerate.utils.memory import clear_device_cache

    from thinkrec.layout import Layout
    from thinkrec_cli.main import run

    os.chdir(project)
    if dataset == "demo" and not Path("data/raw/demo").exists() and (code := run(["fetch", "demo"])):
        sys.exit(code)
    for stage in STAGES:
        if Path(f"reports/{dataset}/run/{Layout(dataset).own(stage)}.json").exists():
            continue
        clear_device_cache(garbage_collection=True)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        code = run([stage, "--dataset", dataset])
        print(f"{stage}: exit code {code} after {time.perf_counter() - start:.1f} s", flush=True)
        pack(out / "reports.tar.gz", Path(), [f"reports/{dataset}", "params.yaml"])
        if code:
            sys.exit(code)
        names = [f"models/{dataset}/{name}" for name in ("clusters", "adapters")]
        pack(out / "adapters.tar.gz", Path(), names)


def part_thinkrec(options: argparse.Namespace, out: Path) -> None:
    """Run all stages up to `evaluate`."""
    write_params(options.project, values_of(options.model, options.toy))
    run_stages(options.project, options.dataset, out)


def command(options: argparse.Namespace, part: str, seconds: float, out: Path) -> list[str]:
    """Return the command line of a part."""
    if part == "engine":
        size = ENGINE["toy" if options.toy else "8b"]
        return [str(HERE / "engine.py"), options.dataset, *size, "--threads", str(os.cpu_count())]
    if part == "agent":
        sizes = ["2"] if options.toy else ["8", "32", "128"]
        model = "small" if options.toy else "0.6b"
        script = [str(HERE / "agent.py"), options.dataset, "--model", model, "--sizes", *sizes]
        return [*script, "--minutes", str(seconds / 120)]
    places = [str(options.project), "--out", str(out), "--dataset", options.dataset, "--model", options.model]
    return [__file__, *places, *["--toy"][: options.toy], "--only", part]


def run_part(options: argparse.Namespace, part: str, seconds: float, out: Path) -> str:
    """Run a part; its output goes to the log, a benchmark's table to its own file.

    Returns:
        Its outcome.
    """
    alone = part in ("engine", "agent")
    start = time.perf_counter()
    with (
        (out / "log.txt").open("a", encoding="utf-8") as log,
        (out / f"{part}.md" if alone else out / "log.txt").open("a", encoding="utf-8") as table,
    ):
        log.write(f"\n== {part}\n")
        log.flush()
        try:
            done = subprocess.run(
                [sys.executable, *command(options, part, seconds, out)], cwd=options.project, stdout=table,
                stderr=log, timeout=seconds, check=False, env=os.environ | ENVIRONMENT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"ended after its {seconds:.0f} s"
    spent = time.perf_counter() - start
    return f"done in {spent:.0f} s" if not done.returncode else f"failed after {spent:.0f} s, see log.txt"


def lines(options: argparse.Namespace, ends: dict[str, str], out: Path) -> Iterator[str]:
    """Yield the table of all results."""
    yield from (f"{part}: {end}" for part, end in ends.items())
    reports = options.project / "reports" / options.dataset
    records = sorted((reports / "run").glob("*.json"), key=lambda path: path.stat().st_mtime)
    yield from (
        "",
        "| stage | seconds | peak memory, MB | peak GPU memory, MB | device |",
        "|---|---|---|---|---|",
    )
    for path in records:
        record = json.loads(path.read_text(encoding="utf-8"))
        memory = f"{record['peak_memory_mb']:.0f} | {record['peak_gpu_memory_mb']}"
        yield f"| {record['stage']} | {record['seconds']:.1f} | {memory} | {record['device']} |"
    path = reports / "metrics.json"
    if path.exists():
        metrics = json.loads(path.read_text(encoding="utf-8"))
        for protocol in (each for each in ("frozen", "rolling") if each in metrics):
            yield from _figures(metrics[protocol], protocol)
    for name in ("engine.md", "agent.md"):
        if (out / name).exists():
            yield from ("", *(out / name).read_text(encoding="utf-8").splitlines())


def _figures(metrics: dict[str, Any], protocol: str) -> Iterator[str]:
    yield from (
        "",
        f"| test, {protocol} histories | {' | '.join(FIGURES)} |",
        f"|---{'|---' * len(FIGURES)}|",
    )
    for system in SYSTEMS:
        entry = metrics.get(system, {}).get("test")
        if entry:
            yield f"| {system} | {' | '.join(_value(entry, name) for name in FIGURES)} |"


def _value(entry: dict[str, Any], name: str) -> str:
    low, high = entry[f"{name}_low"], entry[f"{name}_high"]
    return "undefined" if low is None else f"{entry[name]:.4f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Run the parts, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--dataset", default="ml1m")
    parser.add_argument("--model", default="smollm2", help="a value of backbone.model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=[f"{name}={s}" for name, s in PARTS.items()])
    parser.add_argument("--seconds", type=float, help="for all parts together; by default the sum of theirs")
    parser.add_argument("--toy", action="store_true", help="a few rows and steps, to try the script on a CPU")
    parser.add_argument("--only", choices=("thinkrec",), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.project = options.project.absolute()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if options.only:
        part_thinkrec(options, out)
        return
    start, ends = time.perf_counter(), {}
    split = [each.partition("=") for each in options.parts]
    own = {part: float(given or PARTS[part]) for part, _, given in split}
    for part, seconds in own.items():
        passed = time.perf_counter() - start
        fits = options.seconds is None or seconds <= options.seconds - passed
        ends[part] = run_part(options, part, seconds, out) if fits else "left out: no time"
        text = "\n".join([*lines(options, ends, out), ""])
        (out / "table.md").write_text(text, encoding="utf-8")
        print(f"{part}: {ends[part]}", file=sys.stderr, flush=True)
    print(text)


if __name__ == "__main__":
    main()
