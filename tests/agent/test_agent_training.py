"""SFT and GRPO on episodes whose words are given: prompts, rewards, masks, guards, resuming, processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trl
from agent_by_hand import case_at
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from small_llama import agent_tokenizer, episode_texts
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from thinkrec.agent import grpo, sft
from thinkrec.agent.environment import TOOLS, Environment, bound
from thinkrec.agent.grpo import Guard, settings, train_grpo
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.local import Local, prepare_agent_tokenizer
from thinkrec.agent.rollout import Dialogue, Setting, Turn, roll_out
from thinkrec.agent.scripted import Scripted
from thinkrec.agent.sft import Sizes, encoded, train_sft
from thinkrec.config.agent import Agent, AgentGrpo
from thinkrec.errors import ConfigError
from thinkrec.llm.tracking import Tracking
from thinkrec.llm.trainer import WholeCheckpoints

QWEN3 = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
OPTIONS = Agent(candidates=3, max_turn_tokens=32, max_turns=2, max_calls=4)
FIRST, SECOND, LAST = "Ranking: B A C", "Ranking: A B C", "Ranking: A C B"
"""Answers that rank the held-out B so."""
NDCG = {FIRST: 1.0, SECOND: 0.6309, LAST: 0.5}


class KilledError(Exception):
    """Stands for the end of the process."""


def call(name: str, arguments: str = "{}") -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(knowledge: Knowledge) -> PreTrainedTokenizerBase:
    setting = Setting(lambda: Environment(knowledge, OPTIONS, []), OPTIONS, tuple(TOOLS))
    episodes = roll_out(Scripted(), [case_at()] * 4, setting, range(4), 4)
    tools: Any = bound(Environment(knowledge, OPTIONS, []))
    return agent_tokenizer(episode_texts(episodes, knowledge.items, tools), 600)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerBase) -> PeftModel:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    found: Any = get_peft_model(LlamaForCausalLM(config), lora)
    return found


def weights(model: PeftModel) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in get_peft_model_state_dict(model).items()}


Episodes = list[list[str]]


@dataclass
class Played:
    """What the trainer was told to say, and what it made of that.

    Args:
        says: of a step's number, from 0: what each episode says, message by message.
        prompts: token ids before each generation.
        completions: messages of each step.
        rewards: of each step, [episodes, 3].
        batches: of each step.
        numbers: cases of each step.
    """

    says: Callable[[int], Episodes]
    prompts: list[list[list[int]]] = field(default_factory=list)
    completions: list[list[list[dict[str, Any]]]] = field(default_factory=list)
    rewards: list[list[list[float]]] = field(default_factory=list)
    batches: list[dict[str, torch.Tensor]] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)


@pytest.fixture
def play(
    knowledge: Knowledge, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Played, list[dict[str, float]], str]]:
    """A function: GRPO on two cases, two episodes each, which say what `says` has them say."""

    def run(
        model: PeftModel, says: Callable[[int], Episodes], reader: Any = tokenizer, work: str = "work",
        options: Agent = OPTIONS, **training: Any,
    ) -> tuple[Played, list[dict[str, float]], str]:  # fmt: skip
        played = Played(says)

        class Said(Real):
            def _generate_single_turn(self, prompt_ids: Any, *args: Any, **others: Any) -> Any:
                first = len(args[2:]) == 1  # later turns name what they pass
                self.turn = 0 if first else self.turn + 1
                played.prompts.append([list(ids) for ids in prompt_ids])
                said = [each[self.turn] for each in played.says(self.state.global_step) if
                        len(each) > self.turn]  # fmt: skip
                assert len(said) == len(prompt_ids)
                ids = reader(said, add_special_tokens=False)["input_ids"]
                return [[*each, reader.eos_token_id] for each in ids], None

            def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, ids: Any) -> Any:
                found = super()._calculate_rewards(inputs, prompts, completions, ids)
                played.numbers.append([row["number"] for row in inputs])
                played.completions.append(completions)
                played.rewards.append(found.tolist())
                return found

            def _generate_and_score_completions(self, inputs: Any) -> Any:
                found = super()._generate_and_score_completions(inputs)
                played.batches.append(dict(found))
                return found

        monkeypatch.setattr(grpo, "_Trainer", Said)
        given = {"steps": 1, "cases_per_step": 2, "rollouts": 2, "batch_size": 4, "checkpoints": 1,
                 "learning_rate": 0.01, "min_format": 0.0, "min_spread": 0.0}  # fmt: skip
        history, reason = train_grpo(
            model, reader, [case_at(), replace(case_at(user=2), number=1)], knowledge, options,
            AgentGrpo.model_validate({**given, **training}), tmp_path / work, 7,
        )  # fmt: skip
        return played, history, reason

    Real = grpo._Trainer
    return run


class Says:
    """A model that renders and reads as `Local` does, and says given words.

    Args:
        local: renders and reads.
        said: message by message.
    """

    name = "says"

    def __init__(self, local: Local, said: Sequence[str]) -> None:
        self.local, self.said, self.prompts = local, said, []  # type: ignore[var-annotated]

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        reader = self.local.tokenizer
        text, said = self.local._text(dialogues[0], False), self.said[len(self.prompts)]
        self.prompts.append(reader(text, add_special_tokens=False)["input_ids"])
        ids = [*reader(said, add_special_tokens=False)["input_ids"], reader.eos_token_id]
        return [self.local._parse(dialogues[0], self.prompts[-1], ids, False)]


@pytest.fixture(params=["small", "qwen3"])
def reader(request: pytest.FixtureRequest, tokenizer: Any) -> Iterator[PreTrainedTokenizerBase]:
    """The small tokenizer with its own chat template, and with Qwen3's."""
    own = tokenizer.chat_template, tokenizer.response_template
    if request.param == "qwen3":
        tokenizer.chat_template, tokenizer.response_template = QWEN3.read_text(encoding="utf-8"), None
        prepare_agent_tokenizer(tokenizer, "qwen3")
    yield tokenizer
    tokenizer.chat_template, tokenizer.response_template = own


CALLS = {
    "one": call("get_item"),
    "arguments": call("search_history", '{"query": "a film \\"quoted\\", œuvre"}'),
    "two": f"{call('search_profile')}\n{call('find_similar_users')}",
    "words": f"I miss much.\n{call('search_knowledge_graph')}",
    "unknown": call("rank_all"),
    "refused": call("get_item", '{"x": 1}'),
}


@pytest.mark.parametrize("said", CALLS.values(), ids=CALLS)
def test_both_loops_show_the_model_the_same(
    play: Any, model: PeftModel, knowledge: Knowledge, reader: PreTrainedTokenizerBase, said: str
) -> None:
    """Token ids before the first message, and before that after a call; and the same rewards."""
    if not reader.chat_template.startswith("{%- if tools %}\n"):
        said = said.replace("\n<tool_call>", "<tool_call>")  # as the small template writes it
    trained, _, _ = play(model, lambda _: [[said, FIRST]] * 4, reader)
    setting = Setting(lambda: Environment(knowledge, OPTIONS, []), OPTIONS, tuple(TOOLS))
    case = [case_at(), case_at(user=2)][trained.numbers[0][0]]
    own = Says(Local(model, reader, "x", 0, 32), [said, FIRST])
    [found] = roll_out(own, [case], setting, [0], 1)
    assert [turn[0] for turn in trained.prompts] == own.prompts
    assert trained.rewards[0][0] == pytest.approx(list(found.rewards.values()))
    assert trained.completions[0][0][-1]["content"] == found.messages[-1]["content"]


EPISODES = [
    [FIRST],
    [call("get_item"), SECOND],
    [call("rank_all"), call("search_profile"), LAST],
    ["I don't know."],
]
BY_HAND = [[1, 1, 1], [NDCG[SECOND], 1, 1 - 1 / 4], [NDCG[LAST], 1, 1 - 3 / 4], [0, 0, 0]]


def test_rewards_of_each_episode_are_those_by_hand(play: Any, model: PeftModel) -> None:
    """The third one's call of a tool that there is not counts twice, and takes 1 / 4 each time."""
    before = weights(model)
    played, history, reason = play(model, lambda _: EPISODES)
    [rewards] = played.rewards
    assert rewards == [pytest.approx(each, abs=1e-4) for each in BY_HAND]
    line = next(line for line in history if "reward" in line)
    for name, values in zip(grpo.REWARDS, zip(*BY_HAND, strict=True), strict=True):
        assert line[f"rewards/{name}/mean"] == pytest.approx(sum(values) / 4, abs=1e-4)
    whole = [ndcg + 0.2 * form + 0.2 * few for ndcg, form, few in BY_HAND]
    assert line["reward"] == pytest.approx(sum(whole) / 4, abs=1e-4)
    assert line["tools/call_frequency"] == 3 / 4
    assert line["tools/failure_frequency"] == pytest.approx(1 / 3)
    assert (line["frac_reward_zero_std"], reason) == (0, "")
    signs = played.batches[0]["advantages"].sign().tolist()
    assert signs == [1, -1, 1, -1]
    after = weights(model)
    assert any(not after[name].equal(before[name]) for name in after if "lora_B" in name)


def test_groups_of_one_reward_change_nothing(play: Any, model: PeftModel) -> None:
    before = weights(model)
    _, history, _ = play(model, lambda _: [[FIRST]] * 4)
    assert next(line for line in history if "reward" in line)["frac_reward_zero_std"] == 1
    assert all(weight.equal(before[name]) for name, weight in weights(model).items())


def likelihood(model: PeftModel, ids: torch.Tensor, said: int) -> float:
    with torch.no_grad():
        logits = model.eval()(input_ids=ids[None]).logits[0, said - 1 : -1]
    return float(logits.log_softmax(-1).gather(1, ids[said:, None]).sum())


def test_what_was_rewarded_becomes_likelier(play: Any, model: PeftModel, tokenizer: Any) -> None:
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    played, _, _ = play(model, lambda _: [[FIRST], [LAST]] * 2, steps=3)
    prompt = played.prompts[0][0]
    change = []
    for said in (FIRST, LAST):
        ids = torch.tensor([*prompt, *tokenizer(said, add_special_tokens=False)["input_ids"]])
        after = likelihood(model, ids, len(prompt))
        trained = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        model.load_state_dict(start, strict=False)
        change.append(after - likelihood(model, ids, len(prompt)))
        model.load_state_dict(trained, strict=False)
    assert change[0] > change[1]


def test_tools_words_are_masked_out_of_the_loss(play: Any, model: PeftModel, tokenizer: Any) -> None:
    played, _, _ = play(model, lambda _: EPISODES)
    for said, batch in zip(EPISODES, _rows(played.batches[0]), strict=True):
        ids, mask = batch["completion_ids"], (batch["completion_mask"] * batch["tool_mask"]).bool()
        assert tokenizer.decode(ids[mask]) == "".join(f"{each}<|im_end|>" for each in said)
        masked = tokenizer.decode(ids[~mask], skip_special_tokens=True)
        assert ("Ranked by recent popularity: B A C." in masked) == (call("get_item") in said)
        assert ("Tool rank_all not found" in masked) == (call("rank_all") in said)


def _rows(batch: dict[str, Any]) -> list[dict[str, torch.Tensor]]:
    names = ("completion_ids", "completion_mask", "tool_mask")
    return [{name: batch[name][row] for name in names} for row in range(len(batch["completion_ids"]))]


@pytest.mark.parametrize(
    ("episode", "rewards"),
    [
        ([call("get_item"), call("search_profile"), FIRST], [1, 1, 0]),
        ([call("get_item"), f"{FIRST}{call('search_profile')}", f"{FIRST}{call('get_item')}"], [0, 0, 0]),
        ([f'<tool_call>{{"name": "get_item"\n{FIRST}'] * 3, [0, 0, 0]),
    ],
)
def test_ends_of_episodes_earn_the_same_in_both_loops(
    play: Any, model: PeftModel, knowledge: Knowledge, tokenizer: Any, episode: list[str], rewards: list[int]
) -> None:
    """A call too many is refused; a ranking beside a call, or beside what should be one, is no answer."""
    options = OPTIONS.model_copy(update={"max_calls": 1, "max_turns": 2})
    played, _, _ = play(model, lambda _: [episode] * 4, options=options)
    assert played.rewards[0][0] == rewards
    setting = Setting(lambda: Environment(knowledge, options, []), options, tuple(TOOLS))
    case = [case_at(), case_at(user=2)][played.numbers[0][0]]
    own = Says(Local(model, tokenizer, "x", 0, 32), [*episode, FIRST])
    [found] = roll_out(own, [case], setting, [0], 1)
    assert list(found.rewards.values()) == rewards
    assert found.forced == (rewards == [0, 0, 0])


STEP = {"frac_reward_zero_std": 0.0, "rewards/format/mean": 1.0}
FLAT = STEP | {"frac_reward_zero_std": 1.0}
BROKEN = STEP | {"rewards/format/mean": 0.2}
SAME = "in 2 steps all episodes of nearly every group had the same reward"
FEW = "in 2 steps fewer than 50% of answers were valid"


@pytest.mark.parametrize(
    ("lines", "reason", "steps"),
    [
        ([STEP] * 4, "", 4),
        ([FLAT, FLAT, FLAT], SAME, 2),
        ([STEP, BROKEN, BROKEN], FEW, 3),
        ([FLAT, STEP, FLAT, STEP, FLAT], "", 5),
        ([BROKEN, STEP, BROKEN, {"loss": 1.0}, BROKEN], FEW, 5),
        ([FLAT, BROKEN, FLAT, BROKEN], "", 4),
        ([STEP | {"frac_reward_zero_std": 0.96}] * 2, SAME, 2),
        ([STEP | {"frac_reward_zero_std": 0.95, "rewards/format/mean": 0.5}] * 4, "", 4),
        ([FLAT | BROKEN | {"frac_reward_zero_std": 1.0}] * 2, FEW, 2),
    ],
)
def test_guards(lines: list[dict[str, float]], reason: str, steps: int) -> None:
    guard = Guard(AgentGrpo(patience=2, min_spread=0.05, min_format=0.5))
    control = SimpleNamespace(should_training_stop=False, should_save=False)
    state = SimpleNamespace(log_history=[], global_step=0)
    for line in lines:
        state.log_history.append(line)
        guard.on_log(None, state, control)
        if control.should_training_stop:
            break
    assert (guard.reason, len(state.log_history)) == (reason, steps)
    assert control.should_save == control.should_training_stop == bool(reason)


def test_guards_stop_a_training(play: Any, model: PeftModel) -> None:
    def says(step: int) -> Episodes:
        return [[FIRST], ["Well." if step else LAST]] * 2

    _, history, reason = play(model, says, steps=9, patience=2, min_format=0.6)
    assert reason == "in 2 steps fewer than 60% of answers were valid"
    assert sum("reward" in line for line in history) == 3


def killed(step: int) -> pytest.MonkeyPatch:
    """Training ends as if killed once this checkpoint is written."""
    real = WholeCheckpoints._save_checkpoint

    def save(self: Any, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        if self.state.global_step == step:
            raise KilledError

    patch = pytest.MonkeyPatch()
    patch.setattr(WholeCheckpoints, "_save_checkpoint", save)
    return patch


def test_killed_grpo_goes_on(play: Any, model: PeftModel) -> None:
    """The same cases, episodes and weights as without the break; guards know the steps before."""

    def says(step: int) -> Episodes:
        return [[FIRST], [call("get_item"), [SECOND, LAST][step % 2]], [LAST], ["Well."]]

    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    bounds = {"steps": 4, "checkpoints": 4, "min_format": 0.8, "patience": 4}
    once, history, reason = play(model, says, work="once", **bounds)
    whole = weights(model)
    model.load_state_dict(start)
    patch = killed(2)
    with pytest.raises(KilledError):
        play(model, says, work="twice", **bounds)
    patch.undo()
    model.load_state_dict(start)
    rest, joined, other = play(model, says, work="twice", **bounds)
    assert rest.numbers == once.numbers[2:]
    assert [line["step"] for line in joined if "reward" in line] == [1, 2, 3, 4]
    assert other == reason == "in 4 steps fewer than 80% of answers were valid"
    assert [line.get("reward") for line in joined] == [line.get("reward") for line in history]
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, whole[name], rtol=0, atol=1e-6)


@pytest.fixture
def kept(knowledge: Knowledge, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Trajectories of the scripted investigator, encoded."""
    setting = Setting(lambda: Environment(knowledge, OPTIONS, []), OPTIONS, tuple(TOOLS))
    found = roll_out(Scripted(), [case_at(), case_at(user=2)] * 6, setting, range(12), 12)
    return encoded(tokenizer, found, bound(Environment(knowledge, OPTIONS, [])), 4096)[0]


def test_killed_sft_goes_on(
    model: PeftModel, tokenizer: Any, kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = Sizes(0.01, 2, 4, evaluations=3)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}

    def train(work: str) -> list[dict[str, float]]:
        model.load_state_dict(start)
        return train_sft(model, tokenizer, kept, kept, sizes, tmp_path / work, 7)

    history = train("once")
    whole = weights(model)
    patch = killed(4)
    with pytest.raises(KilledError):
        train("twice")
    patch.undo()
    seen: list[int] = []
    step = sft._Trainer.training_step
    monkeypatch.setattr(
        sft._Trainer, "training_step",
        lambda self, *args, **others: seen.append(self.state.global_step) or step(self, *args, **others),
    )  # fmt: skip
    joined = train("twice")
    assert seen == [4, 5]
    losses = [[line["eval_loss"] for line in found if "eval_loss" in line] for found in (history, joined)]
    assert losses[0] == pytest.approx(losses[1])
    assert len(losses[0]) == 3
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, whole[name], rtol=0, atol=1e-6)


def test_trackers_get_the_curves_of_both_trainings(
    model: PeftModel, tokenizer: Any, kept: Any, tmp_path: Path
) -> None:
    tracking = Tracking("tensorboard", "demo-agent-sft-seed-7", tmp_path / "logs")
    train_sft(model, tokenizer, kept, kept, Sizes(0.01, 1, 4), tmp_path / "work", 7, tracking=tracking)
    assert len(list((tmp_path / "logs").rglob("events.out.tfevents.*"))) == 1
    config = settings(OPTIONS, AgentGrpo(), tmp_path, 7, tracking)
    assert (config.report_to, config.run_name) == (["tensorboard"], "demo-agent-sft-seed-7")
    assert settings(OPTIONS, AgentGrpo(), tmp_path, 7).report_to == []


@pytest.mark.parametrize(("processes", "passes"), [("1", 4), ("2", 2), ("4", 1)])
def test_processes_share_the_episodes_of_a_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, processes: str, passes: int
) -> None:
    monkeypatch.setattr(grpo, "world_size", lambda: int(processes))
    training = AgentGrpo(cases_per_step=4, rollouts=4, batch_size=4)
    assert settings(OPTIONS, training, tmp_path, 7).gradient_accumulation_steps == passes


def test_episodes_that_cant_be_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(grpo, "world_size", lambda: 3)
    with pytest.raises(ConfigError) as found:
        settings(OPTIONS, AgentGrpo(cases_per_step=4, rollouts=4, batch_size=4), tmp_path, 7)
    assert str(found.value) == (
        "agent-grpo: 3 processes of batch_size 4 make 12 episodes a pass, which don't divide the 16 "
        "(cases_per_step * rollouts) of a step: choose another agent-grpo.batch_size in params.yaml"
    )


def test_processes_share_the_trajectories(
    model: PeftModel, tokenizer: Any, kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "world_size", lambda: 3)
    monkeypatch.setattr(sft, "run", lambda trainer, *_: trainer.args.max_steps)
    assert len(kept) == 12
    assert train_sft(model, tokenizer, kept, kept, Sizes(0.01, 2, 2, 2), tmp_path, 7) == 2


@pytest.mark.parametrize("mode", ["none", "colocate", "server"])
def test_a_turn_is_bounded_for_each_backend(tmp_path: Path, mode: Any) -> None:
    found = settings(OPTIONS, AgentGrpo(vllm=mode), tmp_path, 7)
    assert found.generation_kwargs == {"max_new_tokens" if mode == "none" else "max_tokens": 32}
    assert (found.use_vllm, found.max_completion_length) == (mode != "none", OPTIONS.max_episode_tokens)


def test_vllm_is_asked_for_and_missing(play: Any, model: PeftModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"agent-grpo\.vllm is colocate, .* not installed: .* to none in"):
        play(model, lambda _: EPISODES, vllm="colocate")
