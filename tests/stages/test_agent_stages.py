"""The agent's stages end to end, on the very small chain."""

import io
import json
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from small_chain import Chain, agent_model

from thinkrec.agent.filter import filtered, why_dropped
from thinkrec.agent.rollout import Trajectory, read_trajectories
from thinkrec.config.models import Backbone
from thinkrec.config.sections import Params
from thinkrec.errors import DataError, MissingInputError, ModelError
from thinkrec.layout import Layout
from thinkrec.stages import agent_backbone, agent_grpo, agent_sft, evaluate_agent, trajectories
from thinkrec.stages.trajectories import make_cases

SMALL: dict[str, Any] = {
    "agent": {"max_turn_tokens": 24, "max_turns": 2, "subset_users": 2},
    "trajectories": {"max_cases": 20, "rollouts": 3, "max_rank": 6},
    "agent-sft": {"batch_size": 4, "evaluations": 1, "valid_share": 0.2},
    "agent-grpo": {
        "steps": 2, "cases_per_step": 2, "rollouts": 2, "batch_size": 4, "checkpoints": 2,
        "learning_rate": 1e-3, "min_format": 0.0, "min_spread": 0.0,
    },
    "evaluate-agent": {"orders": 2, "bootstrap_draws": 50, "batch_size": 16},
}  # fmt: skip


@dataclass(frozen=True)
class Agent:
    """The finished stages."""

    layout: Layout
    params: Params
    facts: dict[str, dict[str, Any]]
    log: str


@pytest.fixture(scope="module")
def agent(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    layout = chain.copy(tmp_path_factory.mktemp("agent"))
    said = chain.params.model_dump(by_alias=True)
    said |= {name: {**said[name], **values} for name, values in SMALL.items()}
    said["agent-backbone"] = agent_model(layout.root / "agent-llama")
    params = Params.model_validate(said)
    with redirect_stderr(io.StringIO()) as log:
        facts = {
            "agent-backbone": agent_backbone.run(layout, params),
            "trajectories": trajectories.run(layout, params),
            "agent-sft": agent_sft.run(layout, params),
            "agent-grpo": agent_grpo.run(layout, params),
        }
        facts["evaluate-agent"] = evaluate_agent.run(layout, params)
    return Agent(layout, params, facts, log.getvalue())


def test_a_log_has_no_bars(agent: Agent) -> None:
    assert "\r" not in agent.log
    assert "%|" not in agent.log and len(agent.log.splitlines()) < 20, agent.log


def test_kept_trajectories_keep_the_rules(agent: Agent) -> None:
    found = list(read_trajectories(agent.layout.trajectories))
    facts = agent.facts["trajectories"]
    assert len(found) == facts["kept"] > 0
    assert facts["kept"] + sum(facts["dropped"].values()) == facts["rollouts"] == 3 * facts["valid"]["cases"]
    assert facts["dropped"]["target_ranked_low"] > 0
    for each in found:
        assert each.valid
        assert each.rank <= 6
        assert each.rewards["format"] == 1
        assert sum(each.calls.values()) <= 3
        assert each.items[each.target] not in each.items[: each.target]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"valid": False}, "no_valid_answer"),
        ({"errors": 1}, "failed_calls"),
        ({"order": tuple(range(10)), "target": 0}, "order_shown"),
        ({"order": tuple(range(9, -1, -1)), "target": 0}, "target_ranked_low"),
        ({"calls": {"get_item": 4}}, "too_many_calls"),
    ],
)
def test_why_a_trajectory_is_dropped(agent: Agent, change: dict[str, Any], reason: str) -> None:
    kept = next(read_trajectories(agent.layout.trajectories))
    assert why_dropped(replace(kept, **change), agent.params.trajectories) == reason


def test_calls_are_wasted_where_the_case_went_as_well_with_fewer(agent: Agent) -> None:
    kept = next(read_trajectories(agent.layout.trajectories))
    order = (1, 0, *range(2, 10))

    def episode(number: int, target: int, calls: int) -> Trajectory:
        said = [{"role": "assistant", "content": f"{calls} calls, {target}"}]
        return replace(
            kept, number=number, order=order, target=target, calls={"get_item": calls}, messages=said
        )

    found = [episode(1, 0, 1), episode(1, 1, 3), episode(1, 0, 2), episode(1, 1, 2), episode(2, 0, 3)]
    assert [each.rank for each in found] == [2, 1, 2, 1, 2]
    chosen, dropped = filtered([*found, found[3]], agent.params.trajectories)
    assert chosen == [found[0], found[3], found[4]]
    assert dropped == {"calls_wasted": 2, "repeated": 1}


def test_training_learns_only_what_the_agent_says(agent: Agent) -> None:
    from thinkrec.agent.environment import TOOLS, Environment, bound
    from thinkrec.agent.load import load_agent_backbone, load_knowledge
    from thinkrec.agent.sft import IGNORED, encoded
    from thinkrec.data.tables import Interactions

    data = Interactions.load(agent.layout.interactions)
    knowledge = load_knowledge(agent.layout, data, agent.params.agent)
    tools = bound(Environment(knowledge, agent.params.agent, []))
    assert set(tools) == set(TOOLS)
    tokenizer = load_agent_backbone(agent.layout).tokenizer
    kept = next(read_trajectories(agent.layout.trajectories))
    (row,), too_long = encoded(tokenizer, [kept], tools, 4096)
    assert too_long == 0
    said = tokenizer.decode([token for token in row["labels"] if token != IGNORED])
    own = [message for message in kept.messages if message["role"] == "assistant"]
    assert said.count("<|im_end|>") == len(own)
    assert all(message["content"] in said for message in own)
    assert all(
        str(message["content"])[:30] not in said
        for message in kept.messages
        if message["role"] != "assistant"
    )
    assert encoded(tokenizer, [kept], tools, 10)[1] == 1


def test_adapters_of_both_stages_load_and_differ(agent: Agent) -> None:
    from safetensors.numpy import load_file

    sft, grpo = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (agent.layout.agent_sft, agent.layout.agent_grpo)
    )
    assert set(sft) == set(grpo)
    assert any(np.abs(sft[name]).max() > 0 for name in sft if "lora_B" in name)
    assert agent.facts["agent-grpo"]["steps"] == 2
    assert set(agent.facts["agent-grpo"]) >= {"reward", "ndcg", "format", "efficiency", "calls"}
    curve = agent.layout.curve("agent-grpo").read_text(encoding="utf-8")
    assert all(f",{name}," in curve for name in ("reward", "ndcg", "format", "efficiency"))


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_everybody_ranks_the_same_cases(agent: Agent, protocol: str) -> None:
    every = json.loads(agent.layout.agent_metrics.read_text(encoding="utf-8"))
    assert list(every) == ["frozen", "rolling"]
    metrics = every[protocol]["all"]
    ranks = pq.read_table(agent.layout.agent_ranks).to_pandas()
    ranks = ranks[ranks["protocol"] == protocol]
    counts = ranks.groupby("system").size()
    assert set(counts.index) == set(metrics)
    assert set(counts) == {next(iter(metrics.values()))["cases"]}
    for system, own in ranks.groupby("system"):
        rank = own["rank"].to_numpy()
        if (rank == own["worst_rank"]).all():
            assert metrics[system]["ndcg@10"] == pytest.approx((1 / np.log2(1 + rank)).mean(), abs=1e-4)
            assert metrics[system]["mrr"] == pytest.approx((1 / rank).mean(), abs=1e-4)
    assert {"grpo", "sft", "untrained", "no_tools", "fixed_tools", "thinkrec", "mf"} <= set(metrics)
    further = {"grpo order 1", "sft sampled", "grpo without get_item", "grpo without tools"}
    assert further & set(metrics) == (further if protocol == "frozen" else set())
    if protocol == "frozen":
        assert metrics["grpo without tools"]["calls"] == 0
    assert metrics["no_tools"]["calls"] == 0
    assert metrics["grpo"]["grpo_ahead_by"] == {"ndcg@10": 0.0, "interval": [0.0, 0.0]}


def test_report_shows_every_system(agent: Agent) -> None:
    page = agent.layout.agent_page.read_text(encoding="utf-8")
    text = agent.layout.agent_text.read_text(encoding="utf-8")
    every = json.loads(agent.layout.agent_metrics.read_text(encoding="utf-8"))
    for protocol, metrics in every.items():
        assert list(metrics) == ["all", "dense", "sparse"]
        assert all(set(entries) == set(metrics["all"]) for entries in metrics.values())
        for subset, entries in metrics.items():
            assert f"## {protocol}, {subset}: {entries['sft']['cases']} cases" in text
    for system in every["frozen"]["all"]:
        assert f"<td>{system}</td>" in page
        assert f"| {system} |" in text
    assert "<svg" in page
    assert not any(word in page for word in ("<script", "src=", "@import", "<link"))


def test_episodes_can_be_replayed(agent: Agent) -> None:
    from thinkrec_cli.replay import command

    file = agent.layout.episodes("frozen", "untrained")
    found: list[Trajectory] = list(read_trajectories(file))
    result = CliRunner().invoke(command, [str(file), "--case", str(found[1].number)])
    assert result.exit_code == 0, result.output
    assert f"case {found[1].number} of test" in result.output
    assert "held-out item:" in result.output
    missing = CliRunner().invoke(command, [str(file), "--case", "99999"])
    assert isinstance(missing.exception, DataError)
    assert str(missing.exception) == f"{file} has no episode 1 of case 99999"


def test_cases_are_the_same_for_the_same_seed(agent: Agent, tmp_path: Path) -> None:
    before = agent.layout.cases.read_bytes()
    make_cases(agent.layout, agent.params.agent, 20, 7)
    assert agent.layout.cases.read_bytes() == before


def test_another_backbones_adapter_is_refused(agent: Agent, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(agent.layout.root, tmp_path / "other")
    layout = Layout("demo", tmp_path / "other")
    section = Backbone.model_validate(agent_model(tmp_path / "llama", seed=8))
    agent_backbone.run(layout, agent.params.model_copy(update={"agent_backbone": section}))
    with pytest.raises(ModelError, match="was trained on another backbone"):
        agent_grpo.run(layout, agent.params)


def test_a_guard_that_stops_grpo_is_told(agent: Agent, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(agent.layout.root, tmp_path / "other")
    training = agent.params.agent_grpo.model_copy(update={"min_format": 1.0, "patience": 1})
    params = agent.params.model_copy(update={"agent_grpo": training})
    facts = agent_grpo.run(Layout("demo", tmp_path / "other"), params)
    assert (facts["steps"], facts["stopped"]) == (1, "in 1 steps fewer than 100% of answers were valid")


@pytest.mark.parametrize("stage", ["agent-sft", "agent-grpo"])
def test_a_killed_stage_goes_on(
    agent: Agent, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its checkpoint, where nothing changed; other budgets of episodes start anew."""
    import shutil

    from thinkrec.agent import sft
    from thinkrec.llm.trainer import WholeCheckpoints

    shutil.copytree(agent.layout.root, tmp_path / "other")
    layout = Layout("demo", tmp_path / "other")
    run: Any = {"agent-sft": agent_sft.run, "agent-grpo": agent_grpo.run}[stage]
    training = agent.params.agent_sft.model_copy(update={"evaluations": 3})
    params = agent.params.model_copy(update={"agent_sft": training})
    resumed: list[str | None] = []
    last, save = sft.last_whole, WholeCheckpoints._save_checkpoint

    def killed(self: Any, *args: Any) -> None:
        save(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(sft, "last_whole", lambda work: resumed.append(last(work)) or resumed[-1])
    monkeypatch.setattr(WholeCheckpoints, "_save_checkpoint", killed)
    for tokens in (2048, 2048, 2047):
        options = params.agent.model_copy(update={"max_episode_tokens": tokens})
        with pytest.raises(KeyboardInterrupt):
            run(layout, params.model_copy(update={"agent": options}))
    assert [bool(found) for found in resumed] == [False, True, False]
    monkeypatch.setattr(WholeCheckpoints, "_save_checkpoint", save)
    run(layout, params)
    assert not layout.work(stage).exists()


def test_missing_stages_are_named(chain: Chain) -> None:
    with pytest.raises(MissingInputError, match="thinkrec agent-grpo --dataset demo"):
        evaluate_agent.run(chain.layout, chain.params)


def test_nothing_kept_says_what_to_do(agent: Agent, tmp_path: Path) -> None:
    choices = agent.params.trajectories.model_copy(update={"max_calls": 0, "max_cases": 2})
    with pytest.raises(DataError, match=r"none of 6 rollouts was kept .* raise trajectories\.max_rank"):
        trajectories.run(agent.layout, agent.params.model_copy(update={"trajectories": choices}))
