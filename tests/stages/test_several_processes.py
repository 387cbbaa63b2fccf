"""`processes: 2`: the training stages end as they do with one, and what they write is written once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from small_chain import Chain, agent_model, own_backbone, seal

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.stages import agent_backbone, trajectories
from thinkrec_cli.main import run as thinkrec

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def project(chain: Chain, root: Path, processes: int) -> Layout:
    """The finished run as a project folder, of two seeds; the same 16 rows a step, without dropout."""
    layout = chain.copy(root)
    values = chain.params.model_dump(mode="json", by_alias=True) | {"processes": processes}
    values["global"]["lora"]["dropout"] = 0.0
    for part in ("global_adapter", "experts"):
        shutil.copytree(getattr(chain.layout, part), getattr(layout.of_seed(8), part))
    for place in (layout, layout.of_seed(8)):
        config = place.global_adapter / "adapter_config.json"
        write_json(config, read_json(config) | {"lora_dropout": 0.0})
    for stage in ("global", "experts", "projector"):
        values[stage] |= {"batch_size": 16 // processes, "evaluations": 1, "epochs": 0.2}
    values["seeds"] = 2
    with (layout.root / "params.yaml").open("w") as file:
        YAML().dump(values, file)
    seal(layout, Params.model_validate(values))
    return layout


def run(layout: Layout, stage: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thinkrec_cli.main", stage, "--dataset", "demo"]
    return subprocess.run(
        command, cwd=layout.root, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


SEVERAL = """
import os, sys
from thinkrec_cli.main import run
for call in sys.argv[1:]:
    stage, _, root = call.partition("=")
    os.chdir(root)
    if code := run([stage, "--dataset", "demo"]):
        sys.exit(code)
"""


def run_several(calls: list[tuple[str, Layout]], script: Path) -> subprocess.CompletedProcess[str]:
    """Commands one after another in the same two processes, as a launcher starts them."""
    script.write_text(SEVERAL, encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    said = [f"{stage}={layout.root}" for stage, layout in calls]
    command = [sys.executable, *launcher, str(script), *said]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


def run_alone(layout: Layout, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command, in this process."""
    with monkeypatch.context() as patch:
        patch.chdir(layout.root)
        assert thinkrec([stage, "--dataset", "demo"]) == 0


WEIGHTS = {
    "global": ("", "adapter_model.safetensors"),
    "experts": ("2", "adapter_model.safetensors"),
    "projector": ("", "projector.safetensors"),
}


def trained(layout: Layout, stage: str) -> dict[str, torch.Tensor]:
    """What a stage trained, of both seeds."""
    found = {}
    for seed in ("", "seeds/8"):
        folder = layout.global_adapter.parent / stage / seed
        weights = load_file(folder.joinpath(*WEIGHTS[stage]))
        found |= {f"{seed} {name}": weight for name, weight in weights.items()}
    return found


@pytest.mark.slow
def test_two_processes_end_as_one(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`global` as the command spreads it, the others under a launcher."""
    two = {stage: project(chain, tmp_path / stage, 2) for stage in WEIGHTS}
    first, *others = WEIGHTS
    calls = [run(two[first], first), run_several([(s, two[s]) for s in others], tmp_path / "several.py")]
    assert [done.returncode for done in calls] == [0, 0], "".join(done.stderr[-3000:] for done in calls)
    shown = "".join(done.stdout for done in calls)
    for stage in WEIGHTS:
        one = project(chain, tmp_path / f"{stage} alone", 1)
        run_alone(one, stage, monkeypatch)
        for layout, said in ((one, capsys.readouterr().out), (two[stage], shown)):
            assert said.count(f"{one.own(stage)} of demo: done") == 1
            assert not list(layout.root.rglob(".*partial*"))
            assert not layout.work(stage).exists()
        (alone, facts), (found, again) = (
            (trained(each, stage), json.loads(each.record(stage).read_text())["facts"])
            for each in (one, two[stage])
        )
        assert alone.keys() == found.keys()
        for name, weight in alone.items():
            torch.testing.assert_close(found[name], weight, rtol=1e-2, atol=1e-3)
        for ours, theirs in ((again, facts), (again["seeds"]["8"], facts["seeds"]["8"])):
            plain = [key for key in theirs if key not in ("groups", "seeds")]
            assert ours.keys() == theirs.keys()
            assert {key: ours[key] for key in plain} == pytest.approx(
                {key: theirs[key] for key in plain}, rel=0.05
            )


@pytest.mark.slow
def test_two_processes_train_the_agent_as_one(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SFT reads the same trajectories a step; GRPO plays as many episodes a step."""
    values = chain.params.model_dump(mode="json", by_alias=True)
    values["agent"] |= {"max_turn_tokens": 16, "max_turns": 1}
    values["agent-backbone"] |= agent_model(tmp_path / "llama")
    values["trajectories"] |= {"max_cases": 12, "rollouts": 3, "max_rank": 6}
    values["agent-sft"] |= {"batch_size": 4, "evaluations": 1, "valid_share": 0.2}
    values["agent-grpo"] |= {"steps": 2, "cases_per_step": 2, "rollouts": 2, "batch_size": 2}
    params = Params.model_validate(values)
    made = chain.copy(tmp_path / "made")
    agent_backbone.run(made, params)
    trajectories.run(made, params)
    found, stages = [], ("agent-sft", "agent-grpo")
    for processes in (1, 2):
        values["agent-sft"]["batch_size"] = 4 // processes
        own = Chain(made, Params.model_validate(values), {})
        layout = project(own, tmp_path / str(processes), processes)
        if processes == 1:
            for stage in stages:
                run_alone(layout, stage, monkeypatch)
        else:
            done = run_several([(stage, layout) for stage in stages], tmp_path / "several.py")
            assert done.returncode == 0, done.stderr[-3000:]
        assert not any(layout.work(stage).exists() for stage in stages)
        lines = [line.split(",") for line in layout.curve("agent-sft").read_text().splitlines()[1:]]
        facts = json.loads(layout.record("agent-grpo").read_text())["facts"]
        weights = load_file(layout.agent_sft / "adapter_model.safetensors")
        found.append((weights, max(int(line[1]) for line in lines), facts["steps"]))
    (one, *steps), (two, *again) = found
    assert steps == again
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-2, atol=1e-3)


def test_an_error_of_one_process_ends_all(chain: Chain, tmp_path: Path) -> None:
    layout = project(chain, tmp_path, 2)
    (own_backbone(layout) / "model.safetensors").write_bytes(b"torn")
    seal(layout, load_params(layout.root / "params.yaml"))
    done = run(layout, "global")
    assert done.returncode != 0
    assert "can't be loaded" in done.stderr
    assert "error: one of 2 processes failed; its message is above" in done.stderr
    assert layout.global_adapter.exists(), "the adapter of before stays"
