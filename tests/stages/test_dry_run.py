"""Dry runs against what the stages then do: rows, tokens and steps are the same, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from small_chain import LANGUAGE, Chain

from thinkrec import pipeline
from thinkrec.costs import estimate as costs
from thinkrec.costs import measure
from thinkrec.costs.estimate import Estimate, Part
from thinkrec.costs.measure import find_batch_size, time_training
from thinkrec.costs.table import duration
from thinkrec.errors import ModelError
from thinkrec.layout import Layout
from thinkrec.llm import trainer
from thinkrec.llm.scorer import Asked
from thinkrec.stages import experts, global_, projector
from thinkrec.stages.dry_run import dry_run
from thinkrec.stages.evaluate import evaluate
from thinkrec.stages.global_ import plan_global
from thinkrec.systems import language
from thinkrec_cli.main import run

TRAINING: dict[str, Callable[[Layout, Any], Any]] = {
    "global": global_.run,
    "experts": experts.run,
    "projector": projector.run,
}
STAGES = [name for name, stage in pipeline.STAGES.items() if stage.dry_run]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrations that measure next to nothing."""
    monkeypatch.setattr(costs, "SECONDS", {"training": 0.01, "scoring": 0.01})


def tree(root: Path) -> dict[str, str]:
    """Every file below `root`, with its hash, and every folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(root.rglob("*"))
    }


@pytest.fixture(scope="module")
def whole(chain: Chain) -> Callable[[str], Estimate]:
    """A function: the dry run of a stage of the finished run, made once."""
    return cache(lambda stage: dry_run(stage, chain.layout, chain.params))


class Spy:
    """Counts of what a training stage really does, run by run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look over the trainer's shoulder."""
        self.runs: list[dict[str, Any]] = []
        for name in ("train", "joint_loss", "score"):
            monkeypatch.setattr(
                trainer, name, self._watched(getattr(trainer, name), getattr(self, f"_{name}"))
            )

    @staticmethod
    def _watched(real: Any, note: Callable[..., None]) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            note("before", args, None)
            found = real(*args, **options)
            note("after", args, found)
            return found

        return call

    def _train(self, moment: str, args: Any, found: Any) -> None:
        if moment == "before":
            self.runs.append(dict.fromkeys(("rows", "prompt", "answer", "padded", "reasoning"), 0))
            self.runs[-1] |= {"passes": 0, "longest": 0}
        else:
            self.runs[-1]["steps"] = max(line["step"] for line in found)

    def _joint_loss(self, moment: str, args: Any, found: Any) -> None:
        if moment == "after":
            return
        seen, batch = self.runs[-1], args[2]
        answers = batch.end - batch.at - 1  # a plain row's score stands before its answer
        seen["rows"] += len(batch.at)
        seen["prompt"] += int((batch.at + 1).sum())
        seen["answer"] += int(answers.sum())
        seen["reasoning"] += int((answers > 1).sum())
        seen["padded"] += batch.ids.numel()
        seen["longest"] = max(seen["longest"], int(answers.max()))

    def _score(self, moment: str, args: Any, found: Any) -> None:
        if moment == "before":
            self.runs[-1]["passes"] += 1
            self.runs[-1]["valid"] = (len(args[2]), tokens_of(args[2]), args[3])


def tokens_of(asked: Asked) -> int:
    return sum(len(row.ids) for _, row in asked.rows)


def promised(training: Part, validation: Part) -> dict[str, Any]:
    """What the spy should see of a run with these costs."""
    return {
        "rows": training.recommendation + training.reasoning,
        "reasoning": training.reasoning,
        "prompt": training.prompt.total,
        "answer": training.answer.total,
        "longest": training.answer.longest,
        "padded": training.padded,
        "steps": training.steps,
        "passes": validation.passes,
        "valid": (validation.recommendation, validation.prompt.total, validation.size),
    }


@pytest.mark.parametrize("stage", TRAINING)
def test_a_training_stage_does_what_was_promised(
    chain: Chain, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    section = "global_" if stage == "global" else stage
    # Neither the accumulation nor the checkpoints divide the steps.
    values = getattr(chain.params, section).model_copy(update={"gradient_accumulation": 2, "evaluations": 3})
    params = chain.params.model_copy(update={section: values})
    layout = chain.copy(tmp_path)
    found = dry_run(stage, layout, params)
    spy = Spy(monkeypatch)
    TRAINING[stage](layout, params)
    pairs = list(zip(found.parts[::2], found.parts[1::2], strict=True))
    assert [promised(*pair) for pair in pairs] == spy.runs
    assert len(pairs) == (2 if stage == "experts" else 1)
    check_sane(found)


def check_sane(found: Estimate) -> None:
    """Time, memory and operations are there and add up."""
    assert all(part.seconds > 0 and part.flops > 0 and part.paces[0].tokens > 0 for part in found.parts)
    assert found.seconds > sum(part.seconds for part in found.parts)
    assert found.preparing > 0
    assert found.memory > 50e6
    assert (found.gpu_memory is None) == (not torch.cuda.is_available())


def test_evaluate_does_what_was_promised(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layout, seen = chain.copy(tmp_path), []
    found = dry_run("evaluate", layout, chain.params)
    real_scores, real_reasons = language.score, language.generate_reasons

    def scored(*args: Any, **options: Any) -> Any:
        if options.get("show"):
            name = options["show"].removeprefix("evaluate: scoring ")
            seen.append((name, len(args[2]), tokens_of(args[2])))
        return real_scores(*args, **options)

    def reasoned(*args: Any) -> Any:
        seen.append(("reasons", len(args[1]), sum(len(each.ids) for each in args[1])))
        return real_reasons(*args)

    monkeypatch.setattr(language, "score", scored)
    monkeypatch.setattr(language, "generate_reasons", reasoned)
    evaluate(layout, chain.params, chain.params.seed)
    protocols = chain.params.evaluate.protocols
    names = [f"{name}, {protocol}" for name in LANGUAGE for protocol in protocols]
    assert [part.name for part in found.parts] == [*names, "gate", "reasons"]
    assert [
        (part.name, part.recommendation + part.reasoning, part.prompt.total)
        for part in found.parts
        if part.name != "gate"
    ] == seen
    assert found.parts[-1].answer.longest == chain.params.evaluate.max_reason_tokens
    assert found.parts[-1].extra_bytes == 0  # 16 tokens are all that is asked for, and were measured
    check_sane(found)


def test_a_longer_reason_takes_more_memory(chain: Chain) -> None:
    options = chain.params.evaluate.model_copy(update={"systems": ["thinkrec"], "max_reason_tokens": 40})
    found = dry_run("evaluate", chain.layout, chain.params.model_copy(update={"evaluate": options}))
    # 24 more tokens x 32 rows x keys and values x 3 layers x 64 wide x 4 bytes
    assert found.parts[-1].extra_bytes == 24 * 32 * 2 * 3 * 64 * 4


def test_what_is_not_trained_yet_costs_as_much(
    chain: Chain, tmp_path: Path, whole: Callable[[str], Estimate]
) -> None:
    layout = chain.copy(tmp_path)
    before = {stage: whole(stage) for stage in ("experts", "projector", "evaluate")}
    for path in (layout.global_adapter, layout.experts, layout.projector):
        shutil.rmtree(path)
    missing = {
        "experts": ["global_adapter"],
        "projector": ["global_adapter", "experts"],
        "evaluate": ["global_adapter@thinkrec", "experts@thinkrec", "projector@thinkrec"],
    }
    for stage, trained in before.items():
        found = dry_run(stage, layout, chain.params)
        assert [(part.name, part.flops, part.steps, part.prompt, part.answer) for part in found.parts] == [
            (part.name, part.flops, part.steps, part.prompt, part.answer) for part in trained.parts
        ]
        assert (trained.stand_ins, found.stand_ins) == ([], missing[stage])
    assert not layout.global_adapter.exists()


@pytest.fixture
def project(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The finished run as a project folder, which is also the current one."""
    layout = chain.copy(tmp_path)
    with (layout.root / "params.yaml").open("w") as file:
        YAML().dump(chain.params.model_dump(mode="json", by_alias=True), file)
    monkeypatch.chdir(layout.root)
    monkeypatch.setenv("COLUMNS", "200")
    return layout


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_prints_and_writes_nothing(
    project: Layout, stage: str, whole: Callable[[str], Estimate], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project.root)
    assert run([stage, "--dataset", "demo", "--dry-run"]) == 0
    assert tree(project.root) == before
    said = capsys.readouterr().out
    cells = [line.split("│") for line in said.splitlines() if "│" in line]
    lines = {cell[1].strip(): cell[2].strip() for cell in reversed(cells)}  # of the first table
    found = whole(stage)
    assert lines["rows"] == f"{found.parts[0].recommendation + found.parts[0].reasoning:,}"
    assert lines["prompt tokens"] == f"{found.parts[0].prompt.total:,}"
    assert lines["FLOPs"] == f"{found.parts[0].flops:.3g}"
    for words in (
        f"dry run of {stage}, demo",
        "peak memory: ",
        "in all, on one device (",
        "by one process: ",
        "nothing was written",
    ):
        assert words in said


def test_it_says_which_model_was_measured(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(json.loads((project.backbone / "backbone.json").read_text())["model"])
    params = project.root / "params.yaml"
    before = params.read_text()
    try:
        params.write_text(before.replace(model, "another/model"))
        assert run(["global", "--dataset", "demo", "--dry-run"]) == 0
    finally:
        params.write_text(before)
    said = " ".join(capsys.readouterr().out.split())
    assert f"model: {model} in float32; params.yaml names another/model now: run `thinkrec backbone" in said


def test_a_part_that_a_variant_lacks_costs_nothing(
    project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["experts", "--dataset", "demo", "--variant", "tallrec", "--dry-run"]) == 0
    said = "experts-tallrec of demo: nothing to train: tallrec has no experts"
    assert said in capsys.readouterr().out.splitlines()


def test_an_input_that_nothing_stands_in_for(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project.clusters)
    shutil.rmtree(project.experts)
    assert run(["projector", "--dataset", "demo", "--dry-run"]) == 4
    assert capsys.readouterr().err == (
        "error: models/demo/clusters is not there yet: `thinkrec cluster --dataset demo` makes it\n"
    )


def test_a_calibration_trains_and_gives_the_weights_back(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, moved = chain.params, []
    plan = plan_global(chain.layout, params)
    before = {name: weight.clone() for name, weight in plan.model.state_dict().items()}
    real = trainer.train

    def watched(model: Any, *args: Any, **options: Any) -> Any:
        history = real(model, *args, **options)
        moved.append(any(not weight.equal(before[name]) for name, weight in model.state_dict().items()))
        return history

    monkeypatch.setattr(trainer, "train", watched)
    pace = time_training(plan, params.seed, 0.01)
    assert moved == [True]
    assert all(weight.equal(before[name]) for name, weight in plan.model.state_dict().items())
    assert pace.batches == 1
    assert pace.seconds > 0


def test_batches_that_do_not_fit_are_halved(
    project: Layout,
    whole: Callable[[str], Estimate],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, tried = trainer.train, []

    def small(model: Any, examples: Any, task: Any, training: Any, *args: Any, **options: Any) -> Any:
        tried.append((training.batch_size, training.gradient_accumulation))
        if training.batch_size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(model, examples, task, training, *args, **options)

    steps = whole("global").parts[0].steps
    monkeypatch.setattr(trainer, "train", small)
    assert run(["global", "--dataset", "demo", "--dry-run"]) == 0
    assert tried[:2] == [(8, 1), (4, 1)]  # without a GPU, 8 rows of the 16 are timed
    said = capsys.readouterr().out
    assert "4 (16 does not fit)" in said
    assert "global: training: 16 rows of a batch do not fit into memory, 4 do" in said
    assert f"{steps:,}" in said


def test_not_even_one_row_fits() -> None:
    tried = []

    def full(size: int) -> None:
        tried.append(size)
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(ModelError, match="not even a batch of one row fits into memory: turn on gradient"):
        find_batch_size(full, 6, lambda size: size, "part")
    assert tried == [6, 3, 1]


@pytest.mark.parametrize(
    ("free", "count", "fits", "extra"), [(100, 99, 32, 24), (30, 99, 16, 8), (9, 99, 8, 0), (100, 10, 32, 2)]
)
def test_without_a_gpu_memory_of_larger_batches_is_extrapolated(
    monkeypatch: pytest.MonkeyPatch, free: int, count: int, fits: int, extra: int
) -> None:
    """Eight rows are run, which take 8 MB each, and no larger batch."""
    tried, megabyte = [], 1 << 20
    monkeypatch.setattr(measure, "free_memory", lambda: (free * 8 * megabyte, 0))

    def run(rows: int) -> int:
        tried.append(rows)
        held = np.ones(rows * megabyte)  # 8 MB a row
        time.sleep(0.1)
        return len(held)

    found, size, more = find_batch_size(run, 32, lambda rows: 7 * min(rows, count), "part")
    assert (tried, found, size) == ([8], 8 * megabyte, fits)
    assert more == pytest.approx(extra * 8 * megabyte, rel=0.1, abs=megabyte)


def test_on_a_gpu_whole_batches_are_run_and_the_peak_of_earlier_parts_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peak is read once, after the last part; only a run that did not fit is left out of it."""
    forgot = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(measure, "forget_memory", lambda: forgot.append(True))
    assert find_batch_size(lambda size: size, 32, lambda size: size, "part") == (32, 32, 0)
    assert not forgot


def test_another_error_is_not_taken_for_full_memory() -> None:
    def broken(size: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        find_batch_size(broken, 6, lambda size: size, "part")


def test_durations() -> None:
    assert duration(36) == "0.010 h (36 s)"
    assert duration(3600 * 1234.5) == "1,234.50 h"
