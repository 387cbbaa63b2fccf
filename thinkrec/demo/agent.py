"""The embedded agent's backbone: a small Llama-architecture model, trained to call tools and copy rankings.

It can do what a large model already can: write calls and answers in the right form, and read a ranking. It is
trained on unfiltered episodes of the scripted agent with virtual users, so that it prefers no tool; it sees
no user and no label of the data set. Our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import get_json_schema
from trl.chat_template_utils import qwen3_template

from thinkrec.agent.cases import Case, draw_cases
from thinkrec.agent.environment import LISTS, TOOLS, Environment, bound
from thinkrec.agent.knowledge import Edges, Graph, Knowledge
from thinkrec.agent.rollout import Setting, Trajectory, roll_out
from thinkrec.agent.scripted import Scripted
from thinkrec.agent.sft import Sizes, encoded, train_sft
from thinkrec.config.agent import Agent
from thinkrec.config.models import Tiny
from thinkrec.data.tables import Interactions, Items
from thinkrec.demo.copying import HEAD, ROPE_THETA, set_copying
from thinkrec.demo.tokenizer import train_tokenizer
from thinkrec.demo.virtual import VirtualUsers
from thinkrec.threads import hold_threads

INTERACTIONS = 40  # per virtual user
YEAR = 365 * 86_400
HELD_OUT = 0.02
VALID = 0.5  # share of the latest virtual interactions, from which cases are drawn
RELATED = 5  # random items that each item counts as liked together with
BARE, PREFETCHED = 0.1, 0.2  # share of the episodes without tools, and with every ranking prefetched
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}
{%- set part = tool.function %}
{{- part.name }}({{ part.parameters.properties | join(", ") }}): {{ part.description }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == "assistant" %}{% generation %}{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>{% endgeneration %}

{% else %}{{ message.content }}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def virtual_interactions(items: Items, users: int, seed: int) -> tuple[Interactions, np.ndarray]:
    """Return a year of virtual users' interactions, and a vector per user: the sum of the liked items'.

    Shapes: U users, width d; vectors are [U + 1, d], row 0 being padding.
    """
    virtual, rng = VirtualUsers(items, seed), np.random.default_rng(seed)
    timelines = [virtual.timeline(INTERACTIONS) for _ in range(users)]
    length = np.array([len(timeline.items) for timeline in timelines])
    user = np.repeat(np.arange(1, users + 1), length)
    time = np.concatenate([np.sort(rng.choice(YEAR, count, replace=False)) for count in length])
    item = np.concatenate([timeline.items for timeline in timelines])
    label = np.concatenate([timeline.labels for timeline in timelines])
    position = np.concatenate([np.arange(count) for count in length])
    split = (time >= np.quantile(time, 1 - VALID)).astype(np.int8)
    vectors = np.zeros((users + 1, virtual.space.shape[1]), np.float32)
    np.add.at(vectors, user, virtual.space[item - 1] * label[:, None])
    data = Interactions(user, item, label, time, position, split, np.ones(len(user), bool))
    return data, vectors


class Shuffling(Environment):
    """Tools that rank in random order, so that the model learns to prefer no place and no tool."""

    def __init__(
        self, knowledge: Knowledge, options: Agent, cases: Sequence[Case], rng: np.random.Generator
    ) -> None:
        """Make the tools; `rng` draws the rankings."""
        super().__init__(knowledge, options, cases)
        self._rng = rng

    def _ranked(self, title: str, scores: dict[int, float], details: dict[int, str]) -> str:
        drawn = dict(zip(scores, self._rng.random(len(scores)).tolist(), strict=True))
        return super()._ranked(title, drawn, details)


@dataclass(frozen=True)
class Drills:
    """Episodes of the scripted agent with virtual users.

    Args:
        knowledge: of the virtual users.
        cases: to draw from.
        options: budgets.
    """

    knowledge: Knowledge
    cases: list[Case]
    options: Agent

    @classmethod
    def of(cls, items: Items, descriptions: Sequence[str], graph: Graph, options: Agent, seed: int) -> Drills:
        """Draw virtual users, half as many as items but at least 50, and related items."""
        data, vectors = virtual_interactions(items, max(len(items.title) // 2, 50), seed)
        size = len(items.title)
        related = np.random.default_rng(seed).integers(1, size, RELATED * size)
        edges = Edges(RELATED * np.arange(size + 1), related)
        knowledge = Knowledge(data, items, descriptions, replace(graph, related=edges), vectors)
        rows = data.rows("valid")
        candidates = options.candidates
        drawn = draw_cases(data, size - 1, rows[data.label[rows] == 1], "valid", candidates, seed)
        return cls(knowledge, drawn.cases, options)

    def play(self, count: int, seed: int) -> list[Trajectory]:
        """Return `count` episodes in random order: with tools, without, and with every ranking prefetched."""
        rng = np.random.default_rng(seed)

        def make() -> Environment:
            return Shuffling(self.knowledge, self.options, self.cases, rng)

        tools, lists = tuple(TOOLS), tuple(LISTS)
        shares = {(): BARE, lists: PREFETCHED, tools: 1 - BARE - PREFETCHED}
        episodes: list[Trajectory] = []
        for names, share in shares.items():
            number = round(count * share)
            cases = [self.cases[k].shuffled(int(rng.integers(2**31))) for k in
                     rng.integers(len(self.cases), size=number)]  # fmt: skip
            setting = Setting(
                make, self.options, tools if names == tools else (), lists if names == lists else ()
            )
            seeds = rng.integers(2**31, size=number).tolist()
            episodes += roll_out(Scripted(), cases, setting, seeds, 256, show="agent-backbone: drills")
        return [episodes[k] for k in rng.permutation(len(episodes))]

    @property
    def tools(self) -> dict[str, object]:
        """The tools by name, for their schemas."""
        return dict(bound(Environment(self.knowledge, self.options, self.cases)))


def make_tokenizer(
    episodes: Sequence[Trajectory], items: Items, vocabulary: int, tools: dict[str, object]
) -> PreTrainedTokenizerFast:
    """Train a tokenizer on item texts and episodes; it renders and parses tool calls."""
    texts = [str(message["content"]) for episode in episodes for message in episode.messages]
    texts += [str(get_json_schema(tool)) for tool in tools.values()] * 20  # type: ignore[arg-type]
    texts += [f'"{title}" {", ".join(words)}' for title, words in
              zip(items.title, items.keywords, strict=True)]  # fmt: skip
    markers = [f"<{end}tool_{kind}>" for kind in ("call", "response") for end in ("", "/")]
    whole = [*markers, *TOOLS]  # one token each
    tokenizer = train_tokenizer(texts, vocabulary - len(whole))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in whole])
    tokenizer.chat_template = TEMPLATE
    tokenizer.response_template = qwen3_template
    return tokenizer


def _random_model(tokenizer: PreTrainedTokenizerBase, tiny: Tiny, seed: int) -> LlamaForCausalLM:
    """Return a model with random weights, except for the circuit that copies."""
    hold_threads()
    torch.manual_seed(seed)
    heads = tiny.width // HEAD
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=tiny.width, intermediate_size=3 * tiny.width,
        num_hidden_layers=tiny.layers, num_attention_heads=heads, num_key_value_heads=heads,
        max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip
    set_copying(model)
    return model


def make_agent_backbone(
    folder: Path,
    items: Items,
    descriptions: Sequence[str],
    graph: Graph,
    options: Agent,
    tiny: Tiny,
    work: Path,
    seed: int,
) -> dict[str, float]:
    """Train tokenizer and model and save both to `folder`, a Hugging Face model folder.

    Args:
        folder: an existing folder.
        items: titles and keywords.
        descriptions: of each item, index 0 being padding.
        graph: attributes of the items.
        options: budgets, and limits of the tools' answers.
        tiny: sizes; `documents` counts episodes.
        work: folder of checkpoints.
        seed: of weights, virtual users and order.

    Returns:
        Facts: number of weights and of episodes, and the lowest held-out loss.
    """
    drills = Drills.of(items, descriptions, graph, options, seed)
    episodes = drills.play(tiny.documents, seed)
    tools = drills.tools
    tokenizer = make_tokenizer(episodes[:500], items, tiny.vocabulary, tools)
    model = _random_model(tokenizer, tiny, seed)
    most = model.config.max_position_embeddings
    short = [
        replace(
            each, messages=[*(m for m in each.messages if m["role"] == "tool"), each.messages[-1]], calls={}
        )
        for each in episodes
        if any(m["role"] == "tool" for m in each.messages)
    ]
    losses = []
    for name, read, offered in (("copying", short, {}), ("episodes", episodes, tools)):
        held = max(round(len(read) * HELD_OUT), 1)
        parts = [
            encoded(tokenizer, each, offered, most)[0]  # type: ignore[arg-type]
            for each in (read[held:], read[:held])
        ]
        sizes = Sizes(tiny.learning_rate, 1, tiny.batch_size, evaluations=2)
        history = train_sft(
            model, tokenizer, parts[0], parts[1], sizes, work / name, seed, f"agent-backbone: {name}"
        )
        losses.append(min(line["eval_loss"] for line in history if "eval_loss" in line))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        "parameters": model.num_parameters(),
        "episodes": len(episodes),
        "held_out_loss": round(losses[-1], 4),
    }
