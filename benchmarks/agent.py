"""Episodes per second and memory of the agent: rollouts and GRPO steps.

    python benchmarks/agent.py demo                  # the small shape, on a CPU
    python benchmarks/agent.py demo --model 8b       # Qwen3-8B's architecture, random weights, bf16, on a GPU
    python benchmarks/agent.py demo --model 0.6b     # Qwen3-0.6B's

Run in the project's root, with data/NAME prepared and after `thinkrec cf`; --minutes is the time limit.
Random weights call no tools, so a rollout generates the maximum number of tokens per turn, at full cost,
but continues with the scripted agent's turn; a GRPO step is TRL's own, whose episodes then end after one
turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from small_llama import agent_tokenizer, episode_texts
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from thinkrec.agent.cases import draw_cases
from thinkrec.agent.environment import TOOLS, Environment, bound
from thinkrec.agent.grpo import train_grpo
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.load import load_knowledge, setting_of
from thinkrec.agent.local import Local, prepare_agent_tokenizer
from thinkrec.agent.rollout import Dialogue, Turn, roll_out
from thinkrec.agent.scripted import Scripted
from thinkrec.config.agent import Agent, AgentGrpo
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.progress import Bar
from thinkrec.runs import peak_memory_mb

SEED = 7
SMALL_VOCABULARY = 2048
QWEN: dict[str, dict[str, Any]] = {
    "0.6b": {
        "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
        "tie_word_embeddings": False,
    },
}  # fmt: skip


class Costly(Local):
    """Generates the maximum number of tokens, then answers as the script."""

    script = Scripted()

    def _settings(self) -> GenerationConfig:
        settings = super()._settings()
        settings.min_new_tokens = settings.max_new_tokens
        return settings

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        """Generate, and return the script's turns with the generated tokens' counts."""
        real = super().turn(dialogues, last)
        scripted = self.script.turn(dialogues, last)
        return [Turn(own.message, cost.read, cost.said) for own, cost in zip(scripted, real, strict=True)]


def made(size: str, device: str, tokens: Any) -> Any:
    """Make a model with random weights."""
    shared = {"pad_token_id": tokens.pad_token_id, "eos_token_id": tokens.eos_token_id}
    torch.manual_seed(SEED)
    if size in QWEN:
        config: Any = Qwen3Config(
            vocab_size=151_936, num_key_value_heads=8, head_dim=128, max_position_embeddings=40960,
            **QWEN[size], **shared,
        )  # fmt: skip
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            model: Any = Qwen3ForCausalLM(config)
        torch.set_default_dtype(torch.float32)
        return model.eval()
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=128, intermediate_size=384, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=8192, **shared,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(device).eval()


def memory_gb(device: str) -> float:
    """Return peak memory since the last reset, of the GPU, or of this process on a CPU."""
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else peak_memory_mb() / 1e3


def timed(function: Callable[[], Any], device: str) -> tuple[float, float, Any]:
    """Measure one call; return seconds, GB and its result."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    result = function()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, memory_gb(device), result


def measure(
    model: Any,
    tokens: Any,
    knowledge: Knowledge,
    cases: list[Any],
    options: Agent,
    sizes: list[int],
    until: float,
) -> None:
    """Print a line per size until the time is up."""
    device = str(next(model.parameters()).device.type)
    setting = setting_of(knowledge, options, cases)
    agent = Costly(model, tokens, "random weights", 1.0, options.max_turn_tokens)
    for size in Bar(sizes, desc="agent", unit="size"):
        if time.perf_counter() > until:
            print(f"| rollouts, {size} side by side | not measured: out of time | | |")
            continue
        batch = [cases[k % len(cases)] for k in range(size)]
        seconds, memory, episodes = timed(
            lambda batch=batch: roll_out(agent, batch, setting, list(range(len(batch))), len(batch)), device
        )
        tokens_said = sum(each.said for each in episodes) / seconds
        print(f"| rollouts, {size} side by side | {size / seconds:.3g} | {tokens_said:.4g} | {memory:.3g} |")
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    peft = get_peft_model(model, lora)
    training = AgentGrpo(
        steps=2, cases_per_step=2, rollouts=4, batch_size=4, min_format=0, min_spread=0,
        gradient_checkpointing=device == "cuda", checkpoints=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        seconds, memory, (history, _) = timed(
            lambda: train_grpo(peft, tokens, cases[:8], knowledge, options, training, Path(folder), SEED),
            device,
        )
    steps = [line["step_time"] for line in history if "step_time" in line] or [seconds / 2]
    tokens_per_second = 8 * options.max_turn_tokens / steps[-1]
    print(f"| GRPO step of 8 episodes | {8 / steps[-1]:.3g} | {tokens_per_second:.4g} | {memory:.3g} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--model", choices=["small", *QWEN], default="small")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32, 64], help="episodes side by side")
    parser.add_argument("--minutes", type=float, default=8)
    options = parser.parse_args()
    until = time.perf_counter() + 60 * options.minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout, agent = Layout(options.dataset), Agent()
    data = Interactions.load(layout.interactions)
    knowledge = load_knowledge(layout, data, agent)
    valid = data.rows("valid")
    rows = valid[data.label[valid] == 1][:200]
    cases = draw_cases(data, len(knowledge.items.title) - 1, rows, "valid", agent.candidates, SEED).cases
    setting = setting_of(knowledge, agent, cases)
    episodes = roll_out(Scripted(), cases, setting, list(range(len(cases))), len(cases))
    tools = dict(bound(Environment(knowledge, agent, cases)))
    assert set(tools) == set(TOOLS)
    tokens = agent_tokenizer(episode_texts(episodes, knowledge.items, tools), SMALL_VOCABULARY)
    prepare_agent_tokenizer(tokens, "random weights")
    model = made(options.model, device, tokens)
    weights = sum(weight.numel() for weight in model.parameters())
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{where}; {weights / 1e6:.4g} M random weights, {options.dataset}, {agent.max_turn_tokens} tokens a "
        "turn\n"
    )
    print("| what | episodes a second | generated tokens a second | GB |\n|---|---|---|---|")
    measure(model, tokens, knowledge, cases, agent, options.sizes, until)


if __name__ == "__main__":
    main()
