"""Prompts: the one place where a row becomes text and the text becomes token ids."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout
from thinkrec.prompts.escape import TITLE, bounded
from thinkrec.prompts.guard import Guard
from thinkrec.prompts.templates import template
from thinkrec.prompts.tokens import ITEM_TOKEN, USER_TOKEN, chat, encode_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_CUT = "\ue000"
"""Parts a turn; of private use, so that no cleaned text holds it."""


@dataclass(frozen=True)
class Line:
    """One item as the prompt shows it; `liked` is None for the target and where labels are hidden."""

    title: str
    keywords: list[str]
    liked: bool | None

    @property
    def verdict(self) -> str:
        """What the prompt says before it."""
        return "Met" if self.liked is None else "Liked" if self.liked else "Disliked"


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, and which vector stands behind each placeholder token.

    Args:
        ids: token ids.
        user: the user's id.
        items: item ids in the order of their placeholders: history, then target; empty without vectors.
        text: of which they are the ids.
    """

    ids: list[int]
    user: int
    items: list[int]
    text: str


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
        self.guard = Guard(tokenizer)
        self._titles = self.guard.all(bounded(title, TITLE) for title in items.title)
        words = [words[: prompt.keywords] for words in items.keywords]
        shown = iter(self.guard.entries(word for each in words for word in each))
        self._keywords = [[word for word in [next(shown) for _ in each] if word] for each in words]

    @classmethod
    def load(
        cls, layout: Layout, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, vectors: bool = False
    ) -> PromptWriter:
        """A writer for a data set's items; `vectors` puts placeholders for collaborative vectors in."""
        return cls(Items.load(layout.items, layout.keywords), prompt, tokenizer, vectors)

    def line(self, item: int, liked: bool | None = None) -> Line:
        """An item as the prompt shows it."""
        return Line(self._titles[item], self._keywords[item], liked)

    def text(self, history: list[Line], target: Line) -> str:
        """The whole prompt, chat template included, up to the first token of the answer."""
        content = template("prompts/score.j2").render(lines=history, target=target, **self._tokens)
        return chat(self.tokenizer, content)

    @property
    def _tokens(self) -> dict[str, str]:
        """The placeholder tokens as templates name them, empty without vectors."""
        item, user = (ITEM_TOKEN, USER_TOKEN) if self.vectors else ("", "")
        return {"item_token": item, "user_token": user}

    def met(self, data: Interactions, rows: Sequence[int]) -> dict[int, list[int]]:
        """Token ids of these interactions as later questions of a time line see them, by row."""
        labels = data.label[rows] if self.prompt.history_labels else [None] * len(rows)
        lines = [
            self.line(item, None if label is None else bool(label))
            for item, label in zip(data.item_id[rows].tolist(), labels, strict=True)
        ]
        turn = template("prompts/turn.j2")
        texts = [turn.render(line=line, asked=False, **self._tokens) for line in lines]
        return dict(zip(rows, encode_texts(self.tokenizer, texts), strict=True))

    def asks(self, items: Sequence[int]) -> dict[int, list[int]]:
        """Token ids of a time line's question about each of these items, by item.

        The chat template's beginning is left out: what every question would repeat tells nothing.
        """
        found, turn = sorted(set(items)), template("prompts/turn.j2")
        texts = [turn.render(line=self.line(item), asked=True, **self._tokens) for item in found]
        ends = [chat(self.tokenizer, f"{_CUT}{text}").split(_CUT)[1] for text in texts]
        return dict(zip(found, encode_texts(self.tokenizer, ends), strict=True))

    def _past(self, data: Interactions, row: int) -> np.ndarray:
        prompt = self.prompt
        return data.history(row, prompt.history_length, prompt.history, prompt.history_items)

    def texts(
        self,
        data: Interactions,
        rows: np.ndarray,
        items: np.ndarray | None = None,
        drop: np.ndarray | None = None,
    ) -> list[str]:
        """Prompts of many rows as text; see `text`. Shapes: n rows, of which some may be the same.

        Args:
            data: the interactions.
            rows: row numbers, [n].
            items: asked about at these rows' moments, [n]; None for the rows' own.
            drop: how many of the oldest history items are left out, [n]; None for none.
        """
        targets = data.item_id[rows] if items is None else items
        drop = np.zeros(len(rows), np.int64) if drop is None else drop
        texts = []
        for row, target, less in zip(rows.tolist(), targets.tolist(), drop.tolist(), strict=True):
            past = self._past(data, row)[less:]
            labels = data.label[past].tolist() if self.prompt.history_labels else [None] * len(past)
            lines = [
                self.line(item, None if label is None else bool(label))
                for item, label in zip(data.item_id[past].tolist(), labels, strict=True)
            ]
            texts.append(self.text(lines, self.line(target)))
        return texts

    def encode(self, data: Interactions, rows: np.ndarray, items: np.ndarray | None = None) -> list[Encoded]:
        """Prompts of many rows as token ids; see `texts`.

        Where one is longer than `prompt.max_tokens`, its oldest history items are left out until it fits;
        the target never is. How many prompts were shortened is logged.

        Raises:
            ConfigError: one does not even fit without any history.
        """
        targets = data.item_id[rows] if items is None else items
        past = [self._past(data, row) for row in rows.tolist()]
        # A line of the history is at least one token.
        drop = np.array([max(len(each) - self.prompt.max_tokens, 0) for each in past], dtype=np.int64)
        texts = self.texts(data, rows, targets, drop)
        ids = encode_texts(self.tokenizer, texts)
        long = np.array([len(found) > self.prompt.max_tokens for found in ids], dtype=bool)
        if (drop > 0).any() or long.any():
            log.warning(
                "%d of %d prompts are longer than prompt.max_tokens (%d): their oldest history is left out",
                int(((drop > 0) | long).sum()), len(ids), self.prompt.max_tokens,
            )  # fmt: skip
        for k, less, text, found in self._shortened(data, rows, targets, np.flatnonzero(long), drop):
            drop[k], texts[k], ids[k] = less, text, found
        users = data.user_id[rows].tolist()
        shown: list[list[int]] = [[] for _ in ids]
        if self.vectors:
            left = [each[less:] for each, less in zip(past, drop.tolist(), strict=True)]
            shown = [[*data.item_id[p].tolist(), own] for p, own in zip(left, targets.tolist(), strict=True)]
        return [Encoded(*parts) for parts in zip(ids, users, shown, texts, strict=True)]

    def _shortened(
        self, data: Interactions, rows: np.ndarray, targets: np.ndarray, long: np.ndarray, drop: np.ndarray
    ) -> Iterator[tuple[int, int, str, list[int]]]:
        """By bisection, the shortest history that is left out of each prompt that is too long.

        Args:
            data, rows, targets: of all prompts.
            long: numbers of those that are too long.
            drop: how many history items they leave out now.

        Yields:
            A prompt's number, how many history items it leaves out, its text and its token ids.
        """
        low = drop[long]  # too long
        high = np.array([len(self._past(data, int(rows[k]))) for k in long], dtype=np.int64)
        best = self._tried(data, rows, targets, long, high)
        for k, (_, ids) in zip(long.tolist(), best, strict=True):
            check_budget(len(ids), self.prompt.max_tokens, int(targets[k]))
        while (open_ := np.flatnonzero(high - low > 1)).size:
            middle = (low[open_] + high[open_]) // 2
            tried = self._tried(data, rows, targets, long[open_], middle)
            for place, less, one in zip(open_.tolist(), middle.tolist(), tried, strict=True):
                if len(one[1]) > self.prompt.max_tokens:
                    low[place] = less
                else:
                    high[place], best[place] = less, one
        for k, less, (text, ids) in zip(long.tolist(), high.tolist(), best, strict=True):
            yield k, less, text, ids

    def _tried(
        self, data: Interactions, rows: np.ndarray, targets: np.ndarray, some: np.ndarray, drop: np.ndarray
    ) -> list[tuple[str, list[int]]]:
        """Text and token ids of some of the prompts with so much left out of each history."""
        texts = self.texts(data, rows[some], targets[some], drop)
        return list(zip(texts, encode_texts(self.tokenizer, texts), strict=True))


def check_budget(needed: int, most: int, item: int) -> None:
    """Check that what a prompt can't leave out fits into the budget.

    Raises:
        ConfigError: it does not.
    """
    if needed > most:
        raise ConfigError(
            f"prompt.max_tokens ({most}) is less than the {needed} tokens of a prompt about item {item} "
            f"without any history: set it to at least {needed} in params.yaml, or lower prompt.keywords"
        )
