"""Prompts: the one place where a row becomes text and the text becomes token ids."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ModelError
from thinkrec.prompts.escape import break_tokens, clean_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
USER_TOKEN = "<|user_vector|>"
ITEM_TOKEN = "<|item_vector|>"
ANSWERS = ("Yes", "No")


@dataclass(frozen=True)
class Line:
    """One item as the prompt shows it; `liked` is None for the target and where labels are hidden."""

    title: str
    keywords: list[str]
    liked: bool | None


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, and which vector stands behind each placeholder token.

    Args:
        ids: token ids.
        user: the user's id.
        items: item ids in the order of their placeholders: history, then target; empty without vectors.
    """

    ids: list[int]
    user: int
    items: list[int]


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("thinkrec", "prompts")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.get_template(f"{name}.j2")


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """All strings that the tokenizer turns into one token of its own, the answer words left out."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return (added | set(tokenizer.all_special_tokens)) - set(ANSWERS)


def chat(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """Wrap a user's message so that the next token is the first of the answer."""
    if tokenizer.chat_template is None:
        return f"{tokenizer.bos_token or ''}{content}\nAnswer:\n"
    messages = [{"role": "user", "content": content}]
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    return str(tokenizer.apply_chat_template(messages, **options))


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of texts that hold their special tokens already."""
    return list(tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else []


def answer_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Token ids of Yes and No where an answer begins.

    Raises:
        ModelError: one of them is not exactly one token there, so no single logit is its score.
    """
    prompt = chat(tokenizer, "Will the user like it?")
    start, *answered = encode_texts(tokenizer, [prompt, *(prompt + word for word in ANSWERS)])
    found = []
    for word, ids in zip(ANSWERS, answered, strict=True):
        if ids[: len(start)] != start or len(ids) != len(start) + 1:
            pieces = tokenizer.convert_ids_to_tokens(ids[len(start) :])
            raise ModelError(
                f"the backbone's tokenizer writes the answer {word!r} as {len(pieces)} tokens {pieces}, and "
                "the score is the logit of one: choose another backbone in params.yaml (backbone.model)"
            )
        found.append(ids[-1])
    if found[0] == found[1]:
        raise ModelError(
            "the backbone's tokenizer writes Yes and No as the same token: choose another backbone"
        )
    return found[0], found[1]


class PromptWriter:
    """Turns rows of a data set into prompts.

    Args:
        items: item texts.
        prompt: what is shown.
        tokenizer: the backbone's, with the placeholder tokens added when `vectors`.
        vectors: put a placeholder token for the user and for each item (projector stage).
    """

    def __init__(
        self, items: Items, prompt: Prompt, tokenizer: PreTrainedTokenizerBase, vectors: bool = False
    ) -> None:
        """Clean every item's text once."""
        self.prompt = prompt
        self.tokenizer = tokenizer
        self.vectors = vectors
        special = special_tokens(tokenizer)
        self._titles = [break_tokens(clean_text(title), special) for title in items.title]
        self._keywords = [
            [break_tokens(clean_text(word), special) for word in words[: prompt.keywords]]
            for words in items.keywords
        ]

    def line(self, item: int, liked: bool | None = None) -> Line:
        """An item as the prompt shows it."""
        return Line(self._titles[item], self._keywords[item], liked)

    def text(self, history: list[Line], target: Line) -> str:
        """The whole prompt, chat template included, up to the first token of the answer."""
        content = _template("score").render(lines=history, target=target, **self._tokens)
        return chat(self.tokenizer, content)

    @property
    def _tokens(self) -> dict[str, str]:
        """The placeholder tokens as templates name them, empty without vectors."""
        item, user = (ITEM_TOKEN, USER_TOKEN) if self.vectors else ("", "")
        return {"item_token": item, "user_token": user}

    def turns(self, items: Sequence[int]) -> dict[int, tuple[list[int], list[int]]]:
        """Token ids of each item's turn in a time line: what stays in view, and the question about it."""
        cut = "<|cut|>"
        found = sorted(set(items))
        texts = [
            chat(self.tokenizer, _template("turn").render(target=self.line(item), cut=cut, **self._tokens))
            for item in found
        ]
        halves = [text.split(cut) for text in texts]
        stays = encode_texts(self.tokenizer, [first for first, _ in halves])
        asks = encode_texts(self.tokenizer, [second for _, second in halves])
        return {item: pair for item, *pair in zip(found, stays, asks, strict=True)}  # type: ignore[misc]

    def _past(self, data: Interactions, row: int) -> np.ndarray:
        return data.history(row, self.prompt.history_length, self.prompt.history)

    def texts(
        self, data: Interactions, rows: np.ndarray, drop: Mapping[int, int] = MappingProxyType({})
    ) -> list[str]:
        """Prompts of many rows as text; see `text`.

        Args:
            data: the interactions.
            rows: row numbers, [n].
            drop: by row number, how many of its oldest history items are left out.
        """
        texts = []
        for row in rows.tolist():
            past = self._past(data, row)[drop.get(row, 0) :]
            labels = data.label[past].tolist() if self.prompt.history_labels else [None] * len(past)
            lines = [
                self.line(item, None if label is None else bool(label))
                for item, label in zip(data.item_id[past].tolist(), labels, strict=True)
            ]
            texts.append(self.text(lines, self.line(int(data.item_id[row]))))
        return texts

    def encode(self, data: Interactions, rows: np.ndarray) -> list[Encoded]:
        """Prompts of many rows as token ids.

        Where one is longer than `prompt.most_tokens`, its oldest history items are left out until it fits;
        the target never is. How many prompts were shortened is logged.
        """
        ids = encode_texts(self.tokenizer, self.texts(data, rows))
        drop: dict[int, int] = {}
        long = [k for k, found in enumerate(ids) if len(found) > self.prompt.most_tokens]
        if long:
            log.warning(
                "%d of %d prompts are longer than prompt.most_tokens (%d): their oldest history is left out",
                len(long), len(ids), self.prompt.most_tokens,
            )  # fmt: skip
        while long:
            cut = [k for k in long if drop.get(int(rows[k]), 0) < len(self._past(data, int(rows[k])))]
            drop |= {int(rows[k]): drop.get(int(rows[k]), 0) + 1 for k in cut}
            for k, found in zip(
                cut, encode_texts(self.tokenizer, self.texts(data, rows[cut], drop)), strict=True
            ):
                ids[k] = found
            long = [k for k in cut if len(ids[k]) > self.prompt.most_tokens]
        users = data.user_id[rows].tolist()
        shown = [
            data.item_id[[*self._past(data, row)[drop.get(row, 0) :], row]].tolist() if self.vectors else []
            for row in rows.tolist()
        ]
        return [Encoded(*parts) for parts in zip(ids, users, shown, strict=True)]
