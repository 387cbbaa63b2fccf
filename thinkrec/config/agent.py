"""The sections of the agent's stages (RecThinker)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from thinkrec.config.base import (
    AnyTemperature,
    Count,
    Few,
    Passes,
    Rate,
    Rows,
    Section,
    Share,
    Some,
    Temperature,
    Unlike,
    Weight,
)
from thinkrec.config.models import Endpoint, Lora
from thinkrec.config.names import AgentSystem

Tool = Literal["find_similar_users", "get_item", "search_history", "search_knowledge_graph", "search_profile"]
"""In the order of the alphabet, in which TRL's trainer offers them, too."""
Subset = Literal["all", "dense", "sparse"]


class Agent(Section):
    """Cases, tools and budgets of the agent (RecThinker)."""

    candidates: Annotated[int, Field(ge=2, le=26)] = Field(
        10, description="items to rank: the held-out one and drawn ones (paper: 10)"
    )
    test_cases: Rows = Field(500, description="test cases drawn, one a user")
    subset_users: Rows = Field(
        100, description="users of the subsets dense and sparse: those with most and fewest (paper: 100)"
    )
    initial_history_length: Some = Field(3, description="latest interactions that the first message shows")
    max_lines: Few = Field(5, description="most entries of a profile or history that a tool shows")
    recent_days: Annotated[int, Field(ge=1, le=100_000)] = Field(
        30, description="days before the moment that count as recent"
    )
    max_users: Count = Field(1000, description="latest users of an item that a tool looks at")
    encoder: Literal["mf", "mf_no_biases", "lightgcn"] = Field(
        "lightgcn", description="whose user vectors decide who is similar"
    )
    max_turns: Few = Field(3, description="turns with tool calls, after which the agent must answer")
    max_calls: Few = Field(6, description="tool calls an episode")
    max_turn_tokens: Count = Field(96, description="tokens that one turn may generate")
    max_episode_tokens: Count = Field(2048, description="tokens of a whole episode, tool answers included")


class Trajectories(Section):
    """Rollouts on cases of the valid split, filtered: what `agent-sft` learns from."""

    source: Literal["scripted", "endpoint", "model"] = Field(
        "scripted", description="who investigates: a script, a chat endpoint, or the backbone itself"
    )
    max_cases: Rows = Field(1200, description="most training cases, liked rows of valid")
    rollouts: Few = Field(8, description="of each case")
    temperature: AnyTemperature = Field(
        1.0, description="of the model's own rollouts; an endpoint has its own"
    )
    max_rank: Few = Field(1, description="worst rank of the target in a trajectory that is kept")
    max_calls: Some = Field(3, description="most calls of a trajectory that is kept")
    batch_size: Count = Field(32, description="episodes in progress at once")
    endpoint: Endpoint = Endpoint(
        model="Qwen/Qwen3-8B", temperature=1.0, max_tokens=512, max_tokens_step=512, max_tokens_limit=512
    )


class AgentSft(Section):
    """Supervised training on the kept trajectories; tool answers are masked out of the loss."""

    lora: Lora = Lora(
        rank=16, alpha=32, dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    )  # fmt: skip
    learning_rate: Rate = Field(5e-4, description="for 8 billion weights: 1e-4")
    epochs: Passes = Field(2, description="passes over the kept trajectories")
    batch_size: Count = 16
    gradient_accumulation: Count = 1
    valid_share: Share = Field(0.1, description="share of the cases on whose loss the checkpoint is chosen")
    evaluations: Few = 4
    gradient_checkpointing: bool = False


class AgentGrpo(Section):
    """Reinforcement by group-relative rewards, on top of `agent-sft`."""

    learning_rate: Rate = Field(3e-4, description="for 8 billion weights: 1e-6")
    steps: Count = Field(40, description="optimizer steps")
    cases_per_step: Count = 8
    rollouts: Annotated[int, Field(ge=2, le=1000)] = Field(8, description="episodes of one case, a group")
    temperature: Temperature = 1.0
    beta: Weight = Field(0.0, description="weight of the KL divergence to the agent after SFT")
    ndcg: Weight = Field(1.0, description="weight of the reward NDCG@10")
    format: Weight = Field(0.2, description="weight of the reward for a valid answer")
    efficiency: Weight = Field(0.2, description="weight of the reward for few calls")
    checkpoints: Few = Field(4, description="saved during training")
    batch_size: Count = Field(32, description="episodes of one backward pass")
    min_spread: Share = Field(
        0.05, description="share of groups whose rewards differ below which training stops"
    )
    min_format: Share = Field(0.5, description="share of valid answers below which training stops")
    patience: Count = Field(5, description="steps in a row below one of the two before it stops")
    vllm: Literal["none", "colocate", "server"] = Field(
        "none", description="TRL's vLLM mode for the rollouts"
    )
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _divides(self) -> AgentGrpo:
        if (self.cases_per_step * self.rollouts) % self.batch_size:
            raise ValueError("batch_size must divide cases_per_step * rollouts")
        return self


class EvaluateAgent(Section):
    """Comparison of the agent with others on the same candidates."""

    systems: Unlike[AgentSystem] = Field(
        ["popularity", "recent_popularity", "item_mean", "mf", "sasrec", "thinkrec", "no_tools",
         "fixed_tools", "untrained", "sft", "grpo"],
        min_length=1,
    )  # fmt: skip
    without_tools: bool = Field(
        True, description="run the trained agent with each tool switched off, and with all"
    )
    orders: Few = Field(
        3, description="orders of the candidates for the trained agent: the stored one and shuffled ones"
    )
    sampling_temperature: AnyTemperature = Field(
        1.0, description="temperature of further episodes of the trained agents, as GRPO samples; 0: none"
    )
    batch_size: Count = Field(64, description="episodes in progress at once")
    bootstrap_draws: Count = 1000
