"""Reinforcement learning with TRL's GRPOTrainer: groups of episodes with real tools, rewards and guards."""

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
from thinkrec.llm.steps import WholeCheckpoints
from thinkrec.llm.tracking import UNTRACKED, Tracking
from thinkrec.processes import world_size

log = logging.getLogger(__name__)
REWARDS = ("ndcg", "format", "efficiency")


def _reward(name: str, most: int) -> Any:
    """Return one of the rewards as TRL's reward function, logged under its name."""

    def reward(
        completions: list[list[dict[str, Any]]], target: list[int], candidates: list[int], **_: Any
    ) -> list[float]:
        letters = [ascii_uppercase[:count] for count in candidates]
        episodes = zip(completions, letters, target, strict=True)
        return [episode_rewards(messages, named, place, most)[name] for messages, named, place in episodes]

    reward.__name__ = name
    return reward


class Guard(TrainerCallback):
    """Stops training when rewards no longer differ within groups or answers are no longer valid.

    It reads the trainer's log, so that a resumed run knows the earlier steps.

    Args:
        options: thresholds, and for how many steps in a row they may be missed.
    """

    def __init__(self, options: AgentGrpo) -> None:
        """Keep the options; no threshold is missed yet."""
        self._options = options
        self.reason = ""

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Check the last steps of the log."""
        options = self._options
        lines = [line for line in state.log_history if "frac_reward_zero_std" in line][-options.patience :]
        if self.reason or len(lines) < options.patience:
            return
        if all(1 - line["frac_reward_zero_std"] < options.min_spread for line in lines):
            self.reason = (
                f"in {options.patience} steps all episodes of nearly every group had the same reward"
            )
        if all(line["rewards/format/mean"] < options.min_format for line in lines):
            self.reason = (
                f"in {options.patience} steps fewer than {options.min_format:.0%} of answers were valid"
            )
        if self.reason:
            log.warning("training stops at step %d: %s", state.global_step, self.reason)
            control.should_training_stop = True
            control.should_save = True


class _Trainer(WholeCheckpoints, GRPOTrainer):
    """TRL's trainer with checkpoints that are marked once complete."""


def rows_of(cases: Sequence[Case], knowledge: Knowledge, options: Agent) -> Dataset:
    """Return the training set: the first message, index, target and number of candidates of each case."""
    return Dataset.from_list([
        {
            "prompt": [first_message(knowledge, case, options.initial_history_length, options.max_turns)],
            "number": place, "target": case.target, "candidates": len(case.items),
        }
        for place, case in enumerate(cases)
    ])  # fmt: skip


def settings(
    options: Agent, training: AgentGrpo, work: Path, seed: int, tracking: Tracking = UNTRACKED
) -> GRPOConfig:
    """Return the arguments of TRL's trainer; a step has the same episodes with any number of processes.

    Raises:
        ConfigError: the episodes of a step can't be divided among the processes.
    """
    episodes, passed = training.cases_per_step * training.rollouts, training.batch_size * world_size()
    if episodes % passed:
        raise ConfigError(
            f"agent-grpo: {world_size()} processes of batch_size {training.batch_size} make {passed} "
            f"episodes a pass, which don't divide the {episodes} (cases_per_step * rollouts) of a step: "
            "choose another agent-grpo.batch_size in params.yaml"
        )
    vllm: dict[str, Any] = {} if training.vllm == "none" else {"use_vllm": True, "vllm_mode": training.vllm}
    return GRPOConfig(
        output_dir=str(work), max_steps=training.steps, learning_rate=training.learning_rate,
        lr_scheduler_type="constant", per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=episodes // passed, num_generations=training.rollouts,
        max_completion_length=options.max_episode_tokens, max_tool_calling_iterations=options.max_turns,
        temperature=training.temperature, top_k=0, beta=training.beta,
        reward_weights=[getattr(training, name) for name in REWARDS], logging_steps=1,
        save_steps=max(training.steps // training.checkpoints, 1), save_total_limit=2, bf16=False, seed=seed,
        data_seed=seed, dataloader_pin_memory=False, chat_template_kwargs=TEMPLATE,
        gradient_checkpointing=training.gradient_checkpointing,
        generation_kwargs={"max_tokens" if vllm else "max_new_tokens": options.max_turn_tokens}, **vllm,
        **tracking.arguments(),
    )  # fmt: skip


def train_grpo(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    cases: Sequence[Case],
    knowledge: Knowledge,
    options: Agent,
    training: AgentGrpo,
    work: Path,
    seed: int,
    tracking: Tracking = UNTRACKED,
) -> tuple[list[dict[str, float]], str]:
    """Train a PEFT model in place on its own episodes.

    Args:
        model: a PEFT model whose adapter trains.
        tokenizer: prepared for the agent.
        cases: of valid.
        knowledge: behind the tools.
        options: budgets of episodes.
        training: steps, groups, reward weights, guards.
        work: folder of this run's checkpoints, from which it resumes.
        seed: of order and sampling.
        tracking: where the log goes as well.

    Returns:
        The trainer's log, one dict per line, and why training stopped early, or "".

    Raises:
        ConfigError: vLLM is configured but not installed; see also `settings`.
    """
    if training.vllm != "none" and find_spec("vllm") is None:
        raise ConfigError(
            f"agent-grpo.vllm is {training.vllm}, and the package vllm is not installed: install it (`pip "
            "install vllm`), or set agent-grpo.vllm to none in params.yaml"
        )
    config = settings(options, training, work, seed, tracking)
    guard = Guard(training)
    tokenizer.padding_side = "left"
    trainer: Any = _Trainer(
        model=model, args=config, train_dataset=rows_of(cases, knowledge, options),
        processing_class=tokenizer, reward_funcs=[_reward(name, options.max_calls) for name in REWARDS],
        environment_factory=lambda: Environment(knowledge, options, cases), callbacks=[guard],
    )  # fmt: skip
    return run(trainer, work, f"agent-grpo, seed {seed}"), guard.reason
