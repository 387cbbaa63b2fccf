"""Reinforcement by TRL's GRPOTrainer: groups of episodes with the real tools, three rewards, guards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from thinkrec.agent.cases import Case
from thinkrec.agent.dialogue import first_message
from thinkrec.agent.environment import Environment
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.local import TEMPLATE
from thinkrec.agent.rewards import episode_rewards
from thinkrec.agent.sft import run
from thinkrec.config.agent import Agent, AgentGrpo
from thinkrec.errors import ConfigError
from thinkrec.llm.trainer import WholeCheckpoints

log = logging.getLogger(__name__)
REWARDS = ("ndcg", "format", "efficiency")


def _reward(name: str, most: int) -> Any:
    """TRL's form of one of the rewards, logged under its name."""

    def reward(
        completions: list[list[dict[str, Any]]], target: list[int], candidates: list[int], **_: Any
    ) -> list[float]:
        letters = [ascii_uppercase[:count] for count in candidates]
        each = zip(completions, letters, target, strict=True)
        return [episode_rewards(said, named, place, most)[name] for said, named, place in each]

    reward.__name__ = name
    return reward


class Guard(TrainerCallback):
    """Stops a training whose groups lost their spread or whose answers lost their form, and says so.

    Args:
        options: bounds, and for how many steps in a row they may be missed.
    """

    def __init__(self, options: AgentGrpo) -> None:
        """Nothing was seen yet."""
        self._options, self._flat, self._broken = options, 0, 0
        self.reason = ""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Look at one step's line of the log."""
        if not logs or "frac_reward_zero_std" not in logs:
            return
        options = self._options
        spread = 1 - float(logs["frac_reward_zero_std"])
        valid = float(logs["rewards/format/mean"])
        self._flat = self._flat + 1 if spread < options.least_spread else 0
        self._broken = self._broken + 1 if valid < options.least_format else 0
        if self._flat >= options.patience:
            self.reason = (
                f"in {options.patience} steps all episodes of nearly every group had the same reward"
            )
        if self._broken >= options.patience:
            self.reason = (
                f"in {options.patience} steps fewer than {options.least_format:.0%} of answers were valid"
            )
        if self.reason:
            log.warning("training stops at step %d: %s", state.global_step, self.reason)
            control.should_training_stop = True
            control.should_save = True


class _Trainer(WholeCheckpoints, GRPOTrainer):
    """TRL's trainer, whose checkpoints say when they are whole."""


def rows_of(cases: Sequence[Case], knowledge: Knowledge, options: Agent) -> Dataset:
    """The training set: the first message of each case, its number, its target and its candidates' count."""
    return Dataset.from_list([
        {
            "prompt": [first_message(knowledge, case, options.shown, options.turns)],
            "number": place, "target": case.target, "candidates": len(case.items),
        }
        for place, case in enumerate(cases)
    ])  # fmt: skip


def train_grpo(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    cases: Sequence[Case],
    knowledge: Knowledge,
    options: Agent,
    training: AgentGrpo,
    work: Path,
    seed: int,
) -> tuple[list[dict[str, float]], str]:
    """Train a PEFT model in place on episodes of its own.

    Args:
        model: a PEFT model whose adapter trains.
        tokenizer: prepared for the agent.
        cases: of valid.
        knowledge: behind the tools.
        options: budgets of episodes.
        training: steps, groups, rewards' weights, guards.
        work: folder of this very run's checkpoints; resumed from where there are any.
        seed: of order and sampling.

    Returns:
        The trainer's log, one dict a line, and why training stopped early, or "".

    Raises:
        ConfigError: vLLM is asked for and not installed.
    """
    if training.vllm != "none" and find_spec("vllm") is None:
        raise ConfigError(
            f"agent-grpo.vllm is {training.vllm}, and the package vllm is not installed: install it (`pip "
            "install vllm`), or set agent-grpo.vllm to none in params.yaml"
        )
    episodes = training.cases_per_step * training.rollouts
    vllm: dict[str, Any] = {} if training.vllm == "none" else {"use_vllm": True, "vllm_mode": training.vllm}
    config = GRPOConfig(
        output_dir=str(work), max_steps=training.steps, learning_rate=training.learning_rate,
        lr_scheduler_type="constant", per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=episodes // training.batch_size, num_generations=training.rollouts,
        max_completion_length=options.episode_tokens, max_tool_calling_iterations=options.turns,
        temperature=training.temperature, top_k=0, beta=training.beta,
        reward_weights=[getattr(training, name) for name in REWARDS], logging_steps=1,
        save_steps=max(training.steps // training.checkpoints, 1), save_total_limit=2, bf16=False, seed=seed,
        data_seed=seed, report_to=[], dataloader_pin_memory=False, chat_template_kwargs=TEMPLATE,
        gradient_checkpointing=training.checkpointing,
        generation_kwargs=None if vllm else {"max_new_tokens": options.turn_tokens}, **vllm,
    )  # fmt: skip
    guard = Guard(training)
    tokenizer.padding_side = "left"
    trainer: Any = _Trainer(
        model=model, args=config, train_dataset=rows_of(cases, knowledge, options),
        processing_class=tokenizer, reward_funcs=[_reward(name, options.calls) for name in REWARDS],
        environment_factory=lambda: Environment(knowledge, options, cases), callbacks=[guard],
    )  # fmt: skip
    return run(trainer, work), guard.reason
