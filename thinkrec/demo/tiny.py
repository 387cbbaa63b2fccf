"""The embedded backbone: a small Llama-architecture model with its own tokenizer, pre-trained on CPU.

It reads item texts and the verdicts of virtual users; it sees no user and no label of the data set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from thinkrec.config.models import Tiny
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Items
from thinkrec.demo import start
from thinkrec.demo.tokenizer import train_tokenizer
from thinkrec.demo.virtual import Timeline, VirtualUsers
from thinkrec.errors import ModelError
from thinkrec.progress import Bar
from thinkrec.prompts.guard import ANSWERS
from thinkrec.prompts.render import Line, PromptWriter
from thinkrec.prompts.templates import item_line
from thinkrec.prompts.tokens import chat, encode_texts
from thinkrec.threads import hold_threads

Explain = Callable[[Timeline, int], str]  # returns a rationale for the item at this index of the timeline
QUESTIONS = 4  # targets per virtual user, one chat turn each
EXPLAINED = 0.25  # share of the documents that end with a rationale instead of further targets
REASON_WEIGHT = 0.3  # loss weight of the rationale's tokens; the answers' is 1
TEXT_WEIGHT, TEXT_SHARE = 0.1, 0.15  # language modelling: loss weight, and share of the tokens sampled for it
EASE = 0.8  # initial ease of the virtual users; falls to 0 over the first half


def _texts(items: Items, descriptions: list[str]) -> list[str]:
    """Return each item's line and description as one text, item 1 first."""
    parts = zip(items.title[1:], items.keywords[1:], descriptions, strict=True)
    return [f"{item_line(Line(title, words, None))} {description}" for title, words, description in parts]


def make_tokenizer(
    items: Items, descriptions: list[str], prompt: Prompt, vocabulary: int
) -> PreTrainedTokenizerFast:
    """Train the tokenizer on item texts and on prompts of every kind."""
    texts = _texts(items, descriptions)
    lines = [f"{word} {text}" for text in texts for word in start.LINE_STARTS]
    draft = train_tokenizer(lines, vocabulary)  # a prompt can be written only with a tokenizer
    writer = PromptWriter(items, prompt, draft)
    target = writer.line(1)
    prompts = [
        writer.text([writer.line(1, True)], target),
        writer.text([], target),
        writer.question(target),
    ]
    return train_tokenizer(lines + prompts * 50, vocabulary)


def make_model(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], tiny: Tiny, seed: int
) -> LlamaForCausalLM:
    """Return the model as initialised by `start`."""
    hold_threads()
    torch.manual_seed(seed)
    heads = tiny.width // start.HEAD
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=tiny.width,
        intermediate_size=3 * tiny.width,
        num_hidden_layers=tiny.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": start.ROPE_THETA},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    start.set_embeddings(model, tokenizer, start.token_meanings(tokenizer, texts, seed))
    start.set_circuit(model)
    return model


def document(writer: PromptWriter, timeline: Timeline, length: int) -> str:
    """Return a prompt, its answer, and further targets with theirs, each in a chat turn of its own.

    Args:
        writer: of the prompts.
        timeline: a virtual user's items; those after the first `length` are targets.
        length: of the history.
    """
    lines = [
        writer.line(int(i), bool(liked)) for i, liked in zip(timeline.items, timeline.labels, strict=True)
    ]
    answers = [ANSWERS[0] if liked else ANSWERS[1] for liked in timeline.labels]
    targets = [writer.line(int(item)) for item in timeline.items]
    text = writer.text(lines[:length], targets[length]) + answers[length]
    for target, answer in zip(targets[length + 1 :], answers[length + 1 :], strict=True):
        turn = chat(writer.tokenizer, writer.question(target))
        text += f"{writer.tokenizer.eos_token}\n{turn}{answer}"
    return text


def explained(writer: PromptWriter, timeline: Timeline, length: int, explain: Explain) -> str:
    """Return a prompt with a history of `length` items, answered with a rationale."""
    lines = [
        writer.line(int(i), bool(liked)) for i, liked in zip(timeline.items, timeline.labels, strict=True)
    ]
    prompt = writer.text(lines[:length], writer.line(int(timeline.items[length])))
    return f"{prompt}{explain(timeline, length)}{writer.tokenizer.eos_token}"


def _loss(
    model: LlamaForCausalLM, ids: Tensor, mask: Tensor, opening: int, answers: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy at the answers, and the weighted one of rationales and language modelling.

    Shapes: B documents, T tokens.

    Args:
        model: in training.
        ids: token ids, [B, T], padded on the right, so that a causal model needs no mask.
        mask: 1 for tokens, 0 for padding, [B, T].
        opening: token id before an answer.
        answers: token ids of Yes and No.
    """
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    target, real = ids[:, 1:], mask[:, 1:].bool()
    answered = (ids[:, :-1] == opening) & torch.isin(target, torch.tensor(answers))
    opened = (ids[:, :-1] == opening).int()
    # Positions with no answer opening at or after them: all that follows the last answer's first token.
    reason = (opened.flip(1).cumsum(1).flip(1) == 0) & real
    text = real & (torch.rand(target.shape) < TEXT_SHARE)

    def entropy(at: Tensor) -> Tensor:
        return (
            functional.cross_entropy(model.lm_head(hidden[at]), target[at]) if at.any() else hidden.sum() * 0
        )

    return entropy(answered), REASON_WEIGHT * entropy(reason) + TEXT_WEIGHT * entropy(text)


def pretrain(
    model: LlamaForCausalLM, writer: PromptWriter, users: VirtualUsers, tiny: Tiny, explain: Explain
) -> list[float]:
    """Train on `tiny.documents` documents of virtual users.

    Args:
        model: trained in place.
        writer: writes the prompts.
        users: draws the virtual users.
        tiny: documents, batch size, learning rate.
        explain: returns rationales.

    Returns:
        Loss of the answers at every step.

    Raises:
        ModelError: the training diverged.
    """
    tokenizer = writer.tokenizer
    opening = encode_texts(tokenizer, [chat(tokenizer, "x")])[0][-1]
    answers = [ids[-1] for ids in encode_texts(tokenizer, list(ANSWERS))]
    longest = writer.prompt.history_length  # a quarter of the documents has a shorter history
    steps = max(tiny.documents // tiny.batch_size, 20)  # a warm-up of a tenth needs more than one step
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=tiny.learning_rate, weight_decay=0.01, betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, tiny.learning_rate, total_steps=steps, pct_start=0.1
    )
    losses = []
    model.train()
    for step in Bar(range(steps), desc="backbone: pre-training", unit="step"):
        ease = max(0.0, EASE * (1 - 2 * step / steps))
        lengths = np.where(
            users.rng.random(tiny.batch_size) < 0.25, users.rng.integers(0, longest, tiny.batch_size), longest
        )
        texts = [
            explained(writer, users.timeline(count + 1, ease), count, explain)
            if users.rng.random() < EXPLAINED
            else document(writer, users.timeline(count + QUESTIONS, ease), count)
            for count in lengths.tolist()
        ]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        answer, other = _loss(model, batch.input_ids, batch.attention_mask, opening, answers)
        optimizer.zero_grad()
        (answer + other).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(answer.detach()))
    model.eval()
    if not (
        np.isfinite(losses).all() and all(bool(torch.isfinite(each).all()) for each in model.parameters())
    ):
        raise ModelError(
            "the backbone's losses or weights are not finite, its pre-training diverged; lower "
            "backbone.tiny.learning_rate in params.yaml"
        )
    return losses


def make_tiny(
    folder: Path,
    items: Items,
    descriptions: list[str],
    prompt: Prompt,
    tiny: Tiny,
    explain: Explain,
    seed: int,
) -> list[float]:
    """Train tokenizer and model and save both to `folder`, a Hugging Face model folder.

    Args:
        folder: an existing folder.
        items: titles and keywords.
        descriptions: one text for each item, item 1 first.
        prompt: what prompts contain.
        tiny: sizes.
        explain: returns rationales for virtual users' verdicts.
        seed: of weights, virtual users and order.

    Returns:
        Loss of the answers at every step.
    """
    tokenizer = make_tokenizer(items, descriptions, prompt, tiny.vocabulary)
    model = make_model(tokenizer, _texts(items, descriptions), tiny, seed)
    losses = pretrain(model, PromptWriter(items, prompt, tokenizer), VirtualUsers(items, seed), tiny, explain)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return losses
