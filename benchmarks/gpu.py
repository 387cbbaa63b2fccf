"""Run all of ThinkRec with a small real language model, and measure the speed at full size, on one GPU.

    python benchmarks/gpu.py PROJECT --model FOLDER_OR_GGUF --out RESULTS
    python benchmarks/gpu.py PROJECT --dataset demo --toy --out RESULTS   to try it, on a CPU too

PROJECT is a folder with a params.yaml, where `prep`, `summarize` and `synthesize` have run for --dataset. Its
stages go on from there, those that have a record are left as they are. Parts, each in a process of its own:

- `thinkrec`: all stages up to `evaluate` with the model in bfloat16, such as SmolLM2-135M-Instruct;
- `engine`: Llama-3-8B's architecture with random weights (benchmarks/engine.py);
- `agent`: Qwen3-0.6B's (benchmarks/agent.py);
- `frozen`: `evaluate` once more, its histories frozen, in PROJECT/frozen.

A part that fails does not stop the others. `--parts thinkrec=300 engine=150` gives each its seconds, after
which it ends; one that would not fit into --seconds is left out. RESULTS holds what each part has reached so
far: table.md, log.txt, engine.md, agent.md, reports.tar.gz, reports-frozen.tar.gz, adapters.tar.gz.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STAGES = (
    "backbone", "baselines", "cf", "global", "cluster", "experts", "projector", "evaluate",
)  # fmt: skip
PARTS = {"thinkrec": 300, "engine": 170, "agent": 80, "frozen": 100}
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
SMALL: dict[str, Any] = {
    "backbone.dtype": "bfloat16",
    "training.batch_size": 64,
    "training.warmup_steps": 50,
    "training.learning_rate": 1e-3,
    "experts.learning_rate": 3e-4,
    "evaluate.batch_size": 256,
}
"""For about 135 million weights; our choice."""
TOY: dict[str, Any] = {
    **{f"{section}.epochs": 0.02 for section in ("training", "experts", "projector")},
    "training.batch_size": 4, "training.valid_rows": 20, "training.evaluations": 1,
    "cf.epochs": 2, "cf.seeds": 1, "baselines.seeds": 1,
    "evaluate.bootstrap_draws": 20, "evaluate.reasons": 4, "evaluate.max_reason_tokens": 8,
}  # fmt: skip


def imported(model: Path, project: Path) -> Path:
    """Return the model's folder; a GGUF file is converted to one in the project first, in bfloat16."""
    if model.suffix != ".gguf":
        return model
    folder = project / model.stem
    if not (folder / "config.json").exists():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place: dict[str, Any] = {
            "pretrained_model_name_or_path": str(model.parent), "gguf_file": model.name,
            "trust_remote_code": False,
        }  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(**place)
        model_read: Any = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16)
        del model_read.config.quantization_config
        model_read.hf_quantizer = None
        for name in ("bos", "eos", "pad"):  # transformers 5.17 takes the end for the beginning
            number = getattr(model_read.config, f"{name}_token_id")
            setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(number))
        tokenizer.save_pretrained(folder)
        model_read.save_pretrained(folder)
    return folder


def random_model(project: Path, dataset: str) -> Path:
    """Make a folder with a tiny model of random weights."""
    from engine import made

    from thinkrec.data.tables import Items
    from thinkrec.layout import Layout

    layout = Layout(dataset, project)
    toy = made("toy", Items.load(layout.items, layout.keywords), "cpu", 2000)
    for part in (toy.tokenizer, toy.model):
        part.save_pretrained(project / "model")
    return project / "model"


def write_params(project: Path, values: dict[str, Any]) -> None:
    """Change values of a project's params.yaml, by dotted key."""
    from thinkrec.config.load import load_params
    from thinkrec.config.sections import Params
    from thinkrec.config.tree import dumped
    from thinkrec.config.write import params_text

    path = project / "params.yaml"
    values_now = dumped(load_params(path))
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


def run_stages(project: Path, dataset: str, stages: tuple[str, ...], out: Path, suffix: str = "") -> None:
    """Run the stages without a record; save results to RESULTS after each.

    Raises:
        SystemExit: a stage failed.
    """
    import torch
    from accelerate.utils.memory import clear_device_cache

    from thinkrec.layout import Layout
    from thinkrec_cli.main import run

    os.chdir(project)
    for stage in stages:
        if Path(f"reports/{dataset}/run/{Layout(dataset).own(stage)}.json").exists():
            continue
        clear_device_cache(garbage_collection=True)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        code = run([stage, "--dataset", dataset])
        print(f"{stage}: exit code {code} after {time.perf_counter() - start:.1f} s", flush=True)
        pack(out / f"reports{suffix}.tar.gz", Path(), [f"reports/{dataset}", "params.yaml"])
        if code:
            sys.exit(code)
        names = [f"models/{dataset}/{name}" for name in ("clusters", "adapters")]
        pack(out / "adapters.tar.gz", Path(), names)


def part_thinkrec(options: argparse.Namespace, out: Path) -> None:
    """Run all stages up to `evaluate`."""
    project = options.project
    start = time.perf_counter()
    if options.model is None:
        model = random_model(project, options.dataset)
    else:
        model = imported(options.model, project)
    print(f"model: there after {time.perf_counter() - start:.1f} s", flush=True)
    values = SMALL | {"backbone.model": str(model), "training.epochs": options.epochs}
    write_params(project, values | (TOY if options.toy else {}))
    run_stages(project, options.dataset, STAGES, out)


def part_frozen(options: argparse.Namespace, out: Path) -> None:
    """`evaluate` with frozen histories; nothing is trained but the baselines, which read histories."""
    frozen, dataset = options.project / "frozen", options.dataset
    if not frozen.exists():
        shutil.copytree(options.project / "data", frozen / "data")
        shutil.copytree(
            options.project / "models", frozen / "models", ignore=shutil.ignore_patterns("baselines", ".*")
        )
        shutil.copy(options.project / "params.yaml", frozen)
    write_params(frozen, {"evaluate.protocols": ["frozen"], "evaluate.reasons": 0})
    run_stages(frozen, dataset, ("baselines", "evaluate"), out, "-frozen")


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
    places = [str(options.project), "--out", str(out)]
    places += ["--model", str(options.model)] if options.model else []
    values = ["--dataset", options.dataset, "--epochs", str(options.epochs), *["--toy"][: options.toy]]
    return [__file__, *places, *values, "--only", part]


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
    for root in (options.project, options.project / "frozen"):
        path = root / "reports" / options.dataset / "metrics.json"
        if path.exists():
            yield from _figures(path, root.name if root.name == "frozen" else "rolling")
    for name in ("engine.md", "agent.md"):
        if (out / name).exists():
            yield from ("", *(out / name).read_text(encoding="utf-8").splitlines())


def _figures(path: Path, protocol: str) -> Iterator[str]:
    metrics = json.loads(path.read_text(encoding="utf-8"))
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
    parser.add_argument("--model", type=Path, help="a Hugging Face folder or a GGUF file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=[f"{name}={s}" for name, s in PARTS.items()])
    parser.add_argument("--seconds", type=float, default=sum(PARTS.values()), help="for all parts together")
    parser.add_argument("--epochs", type=float, default=1, help="of `global`")
    parser.add_argument("--toy", action="store_true", help="a few rows and steps, to try the script on a CPU")
    parser.add_argument("--only", choices=("thinkrec", "frozen"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.toy and options.model is None:
        parser.error("--model is missing; only --toy makes one of random weights")
    options.project, options.model = options.project.absolute(), options.model and options.model.absolute()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if options.only:
        (part_thinkrec if options.only == "thinkrec" else part_frozen)(options, out)
        return
    start, ends = time.perf_counter(), {}
    for each in options.parts:
        part, _, given = each.partition("=")
        seconds, left = float(given or PARTS[part]), options.seconds - (time.perf_counter() - start)
        ends[part] = run_part(options, part, seconds, out) if seconds <= left else "left out: no time"
        text = "\n".join([*lines(options, ends, out), ""])
        (out / "table.md").write_text(text, encoding="utf-8")
        print(f"{part}: {ends[part]}", file=sys.stderr, flush=True)
    print(text)


if __name__ == "__main__":
    main()
