"""Llamas of random weights with a small tokenizer of their own, for benchmarks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import get_json_schema
from trl.chat_template_utils import qwen3_template

from thinkrec.agent.environment import TOOLS
from thinkrec.agent.rollout import Trajectory
from thinkrec.data.tables import Items
from thinkrec.prompts.guard import ANSWERS

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
AGENT_TEMPLATE = """\
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


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE with at most `vocabulary` tokens; Yes and No are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(ANSWERS),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in ANSWERS])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, bos_token=START)
    fast.chat_template = CHAT_TEMPLATE
    return fast


def agent_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer that renders and parses tool calls, each tool's name being one token."""
    markers = [f"<{end}tool_{kind}>" for kind in ("call", "response") for end in ("", "/")]
    kept = [*markers, *TOOLS]
    tokenizer = train_tokenizer(texts, vocabulary - len(kept))
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in kept])
    tokenizer.chat_template = AGENT_TEMPLATE
    tokenizer.response_template = qwen3_template
    return tokenizer


def texts_of(items: Items) -> list[str]:
    """Return the items' titles and keywords, and the words of prompts that a tokenizer should know."""
    words = [" ".join(each) for each in items.keywords]
    return [*items.title, *words, "Liked Disliked Next", *["Yes No"] * 9]


def episode_texts(episodes: Sequence[Trajectory], items: Items, tools: dict[str, object]) -> list[str]:
    """Return what episodes say, the tools' schemas, and the items' texts."""
    said = [str(message["content"]) for episode in episodes for message in episode.messages]
    schemas = [str(get_json_schema(tool)) for tool in tools.values()]  # type: ignore[arg-type]
    return [*said, *schemas * 20, *texts_of(items)]


def random_llama(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return a model of random weights, large enough that its scores of different prompts differ well."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=192, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=4096,
        tie_word_embeddings=True, initializer_range=0.2, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip


def write_llama(folder: Path, tokenizer: PreTrainedTokenizerFast, seed: int = 7) -> None:
    """Write a model of random weights and its tokenizer to a Hugging Face model folder."""
    random_llama(tokenizer, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
