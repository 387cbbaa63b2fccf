"""Chat text and its token ids, the tokens of the two answers, and the placeholders of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from thinkrec.errors import ModelError
from thinkrec.prompts.guard import ANSWERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

USER_TOKEN = "<|user_vector|>"
ITEM_TOKEN = "<|item_vector|>"
Verdicts = Literal["before", "after"]
SEAMS = 16
"""Texts that show whether a tokenizer may be given texts in parts (our choice)."""


def chat(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """Wrap a user message in the chat template, so that the next token is the first of the answer."""
    if tokenizer.chat_template is None:
        return f"{tokenizer.bos_token or ''}{content}\nAnswer:\n"
    messages = [{"role": "user", "content": content}]
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    return str(tokenizer.apply_chat_template(messages, **options))


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return token ids of texts that already contain their special tokens."""
    return list(tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else []


def encode_joined(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Return token ids of texts in two parts, as of the joined texts; equal parts are tokenised once.

    All texts have the same characters around the seam, on which the tokens there depend. If a few whole
    texts, tokenised for comparison, have other tokens than their parts, the tokenizer looks further: then
    every text is tokenised as a whole.
    """
    some = list(texts[:: len(texts) // SEAMS + 1])
    parts = list(dict.fromkeys(part for text in texts for part in text))
    known = dict(zip(parts, encode_texts(tokenizer, parts), strict=True))
    if encode_texts(tokenizer, ["".join(text) for text in some]) != [known[a] + known[b] for a, b in some]:
        return encode_texts(tokenizer, ["".join(text) for text in texts])
    return [known[first] + known[second] for first, second in texts]


def answer_ids(tokenizer: PreTrainedTokenizerBase, verdicts: Verdicts = "before") -> tuple[int, int]:
    """Return the token ids of Yes and No where a prompt asks for them (see `prompt.verdicts`).

    Raises:
        ModelError: one of them is not exactly one token there, so that no single logit is its score.
    """
    prompt = chat(tokenizer, "Will the user like it?")
    words: tuple[str, ...] = ANSWERS
    if verdicts == "after":
        prompt, words = f'{prompt}"It" (this):', tuple(f" {word}" for word in ANSWERS)
    start, *answered = encode_texts(tokenizer, [prompt, *(prompt + word for word in words)])
    tokens = []
    for word, ids in zip(words, answered, strict=True):
        if ids[: len(start)] != start or len(ids) != len(start) + 1:
            pieces = tokenizer.convert_ids_to_tokens(ids[len(start) :])
            raise ModelError(
                f"the backbone's tokenizer writes the answer {word!r} as {len(pieces)} tokens {pieces}, and "
                f"the score is the logit of one: with prompt.verdicts {verdicts} it can't be "
                "used; choose another backbone in params.yaml (backbone.model)"
            )
        tokens.append(ids[-1])
    if tokens[0] == tokens[1]:
        raise ModelError(
            "the backbone's tokenizer writes Yes and No as the same token: choose another backbone"
        )
    return tokens[0], tokens[1]
