"""Prompts: the one place where a row becomes text and the text becomes token ids."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout
from thinkrec.prompts.escape import TITLE, bounded
from thinkrec.prompts.guard import ANSWERS, Guard
from thinkrec.prompts.keywords import shown_keywords
from thinkrec.prompts.reception import NAMES, NOTHING, Own, Receptions
from thinkrec.prompts.templates import item_line, template
from thinkrec.prompts.tokens import ITEM_TOKEN, USER_TOKEN, answer_ids, chat, encode_joined, encode_texts
from thinkrec.protocols import Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)
FORMAT = 2
"""Raised whenever prompts of the same rows and parameters say something else; adapters note it."""
_SEPARATOR = "\ue000"
"""Splits a chat turn; a private-use character, which no cleaned text contains."""


@dataclass(frozen=True)
class Line:
    """One item as a prompt shows it; `liked` is None for the target and where labels are hidden."""

    title: str
    keywords: list[str]
    liked: bool | None

    @property
    def verdict(self) -> str:
        """The word that precedes the item in a history."""
        return "Rated" if self.liked is None else "Liked" if self.liked else "Disliked"

    @property
    def answer(self) -> str:
        """What follows the item in a history whose verdicts come after."""
        return "" if self.liked is None else f": {ANSWERS[0] if self.liked else ANSWERS[1]}"


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, with the ids of the vectors behind its placeholder tokens.

    Args:
        ids: token ids.
        user: user id.
        items: item ids in the order of their placeholders, the target last; empty without vectors.
        text: the prompt as text.
    """

    ids: list[int]
    user: int
    items: list[int]
    text: str


class PromptWriter:
    """Turns rows of a data set into prompts.

    Args:
        items: item texts.
        prompt: what prompts contain.
        tokenizer: the backbone's tokenizer, with the placeholder tokens added if `vectors`.
        vectors: put a placeholder token for the user and for each item (projector stage).
        protocol: what the histories of valid and test rows hold.
        receptions: of the items, shown if `prompt.reception`, which needs them.

    Raises:
        ValueError: `prompt.reception` without receptions.
    """

    def __init__(
        self,
        items: Items,
        prompt: Prompt,
        tokenizer: PreTrainedTokenizerBase,
        vectors: bool = False,
        protocol: Protocol = "rolling",
        receptions: Receptions | None = None,
    ) -> None:
        """Clean every item's text once."""
        if prompt.reception and receptions is None:
            raise ValueError("prompt.reception needs the receptions of items")
        self.prompt = prompt
        self._receptions = receptions if prompt.reception else None
        self.protocol = protocol
        self.tokenizer = tokenizer
        self.vectors = vectors
        self.guard = Guard(tokenizer)
        self._spoken: dict[int, str] = {}
        self._answers: tuple[int, int] | None = None
        self._titles = self.guard.all(bounded(title, TITLE) for title in items.title)
        levels = NAMES if self._receptions else frozenset()  # no keyword may look like one
        keywords = [
            shown_keywords(title, [word for word in words if word not in levels], prompt.keywords)
            for title, words in zip(items.title, items.keywords, strict=True)
        ]
        # Guard the keywords of all items in one call, then deal them out to their items again.
        entries = iter(self.guard.entries(word for words in keywords for word in words))
        self._keywords = [[entry for entry in [next(entries) for _ in words] if entry] for words in keywords]

    @classmethod
    def load(
        cls,
        layout: Layout,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        vectors: bool = False,
        protocol: Protocol = "rolling",
    ) -> PromptWriter:
        """Return a writer for the items of a data set; see the class for the arguments."""
        receptions = Receptions(Interactions.load(layout.interactions)) if prompt.reception else None
        items = Items.load(layout.items, layout.keywords)
        return cls(items, prompt, tokenizer, vectors, protocol, receptions)

    def under(self, protocol: Protocol) -> PromptWriter:
        """Return the same writer with histories of another protocol."""
        other = copy(self)
        other.protocol = protocol
        return other

    def line(self, item: int, liked: bool | None = None, own: Own = NOTHING) -> Line:
        """Return an item as the prompt shows it.

        Args:
            item: item id.
            liked: the verdict that the line says.
            own: training rows of the prompt's user; they do not count in the item's reception.
        """
        received = self._receptions.of(item, own) if self._receptions else None
        words = self._keywords[item] if received is None else [received, *self._keywords[item]]
        return Line(self._titles[item], words, liked)

    def text(self, history: list[Line], target: Line) -> str:
        """Return the whole prompt, chat template included, up to the first token of the answer."""
        content = template("prompts/score.j2").render(lines=history, target=target, **self._shown)
        return f"{chat(self.tokenizer, content)}{self._opening(target)}"

    def _opening(self, target: Line) -> str:
        """Return the beginning of the answer that the prompt holds: the item, where verdicts come after."""
        if self.prompt.verdicts == "before":
            return ""
        return f"{item_line(target, self._tokens['item_token'])}:"

    @property
    def answers(self) -> tuple[int, int]:
        """Token ids of Yes and No as answers to these prompts."""
        if self._answers is None:
            self._answers = answer_ids(self.tokenizer, self.prompt.verdicts)
        return self._answers

    def question(self, target: Line) -> str:
        """Return the question about one item, as a further chat turn or a timeline asks it."""
        return template("prompts/turn.j2").render(line=target, question=True, **self._shown)

    @property
    def _shown(self) -> dict[str, Any]:
        """What every template is given."""
        return {**self._tokens, "after": self.prompt.verdicts == "after"}

    @property
    def _tokens(self) -> dict[str, str]:
        """The placeholder tokens under their names in templates, empty without vectors."""
        item, user = (ITEM_TOKEN, USER_TOKEN) if self.vectors else ("", "")
        return {"item_token": item, "user_token": user}

    def interaction_ids(self, data: Interactions, rows: Sequence[int]) -> dict[int, list[int]]:
        """Return, by row, token ids of interactions as later questions of a timeline see them."""
        lines = self._lines(data, np.asarray(rows, dtype=np.int64))
        turn = template("prompts/turn.j2")
        texts = [turn.render(line=line, question=False, **self._shown) for line in lines]
        return dict(zip(rows, encode_texts(self.tokenizer, texts), strict=True))

    def question_ids(self, items: Sequence[int]) -> dict[int, list[int]]:
        """Return, by item, token ids of a timeline's question about it.

        The beginning of the chat template is left out: it is the same in every question.
        """
        targets = sorted(set(items))
        lines = [self.line(item) for item in targets]
        turns = [
            f"{chat(self.tokenizer, f'{_SEPARATOR}{self.question(line)}')}{self._opening(line)}"
            for line in lines
        ]
        ends = [turn.split(_SEPARATOR)[1] for turn in turns]
        return dict(zip(targets, encode_texts(self.tokenizer, ends), strict=True))

    def _lines(self, data: Interactions, rows: np.ndarray) -> list[Line]:
        """Return the history lines of some interactions, with verdicts if `prompt.history_labels`."""
        labels = data.label[rows].tolist() if self.prompt.history_labels else [None] * len(rows)
        items = data.item_id[rows]
        return [
            self.line(item, None if label is None else bool(label), own)
            for item, label, own in zip(items.tolist(), labels, self._own(data, rows, items), strict=True)
        ]

    def _own(self, data: Interactions, rows: np.ndarray, items: np.ndarray) -> list[Own]:
        """Return what does not count in the receptions of items, [n], in prompts of these rows' users."""
        return self._receptions.own(data.user_id[rows], items) if self._receptions else [NOTHING] * len(rows)

    def verdict_places(self, ids: Sequence[int]) -> list[int]:
        """Return where in a prompt the verdicts of its history stand: last in a line, after a colon."""
        answers = set(self.answers)
        return [
            k
            for k in range(1, len(ids) - 1)
            if ids[k] in answers
            and self._said(ids[k - 1]).endswith(":")
            and self._said(ids[k + 1]).startswith("\n")
        ]

    def _said(self, token: int) -> str:
        """Return a token's text."""
        if token not in self._spoken:
            self._spoken[token] = str(self.tokenizer.decode([token]))
        return self._spoken[token]

    def history(self, data: Interactions, row: int) -> np.ndarray:
        """Return the rows of a row's history, oldest first."""
        prompt = self.prompt
        return data.history(row, prompt.history_length, self.protocol, prompt.history_items)

    def texts(
        self,
        data: Interactions,
        rows: np.ndarray,
        items: np.ndarray | None = None,
        drop: np.ndarray | None = None,
    ) -> list[str]:
        """Return the prompts of many rows as text; see `text`.

        Shapes: n rows, which may repeat.

        Args:
            data: the interactions.
            rows: row numbers, [n].
            items: targets in place of the rows' own items, [n], or None.
            drop: number of oldest history items to drop, [n]; None drops none.
        """
        targets = data.item_id[rows] if items is None else items
        drop = np.zeros(len(rows), np.int64) if drop is None else drop
        histories = [self.history(data, row)[k:] for row, k in zip(rows.tolist(), drop.tolist(), strict=True)]
        own = self._own(data, rows, targets)
        return ["".join(parts) for parts in self._parts(data, histories, targets, own)]

    def _parts(
        self,
        data: Interactions,
        histories: Sequence[np.ndarray],
        targets: np.ndarray,
        own: Sequence[Own],
    ) -> list[tuple[str, str]]:
        """Return prompts cut before the line of the target; those of one history share the first part.

        Args:
            data: the interactions.
            histories: row numbers of each prompt's history.
            targets: items, one for each prompt.
            own: of each target the rows that do not count in its reception.
        """
        token, mark = self._tokens["item_token"], Line(_SEPARATOR, [], None)
        around: dict[bytes, tuple[str, str, str]] = {}
        asked = list(zip(targets.tolist(), own, strict=True))
        named = {each: item_line(self.line(each[0], own=each[1]), token) for each in set(asked)}
        found = []
        for past, target in zip(histories, asked, strict=True):
            if (key := past.tobytes()) not in around:
                before, after = self.text(self._lines(data, past), mark).split(item_line(mark, token))
                cut = before.rfind("\n") + 1
                around[key] = before[:cut], before[cut:], after
            first, start, after = around[key]
            found.append((first, f"{start}{named[target]}{after}"))
        return found

    def encode(self, data: Interactions, rows: np.ndarray, items: np.ndarray | None = None) -> list[Encoded]:
        """Return the prompts of many rows as token ids; see `texts`.

        A prompt longer than `prompt.max_tokens` loses its oldest history items until it fits; it always
        keeps the target. The number of shortened prompts is logged.

        Raises:
            ConfigError: a prompt does not fit even without history.
        """
        targets = data.item_id[rows] if items is None else items
        moments = data.asked(rows, self.protocol)  # rows with equal histories
        of_moment = {row: self.history(data, row) for row in np.unique(moments).tolist()}
        histories = [of_moment[moment] for moment in moments.tolist()]
        # Each history item takes at least one token, so more than this many can't fit.
        drop = np.array([max(len(past) - self.prompt.max_tokens, 0) for past in histories], dtype=np.int64)
        kept = [past[count:] for past, count in zip(histories, drop.tolist(), strict=True)]
        parts = self._parts(data, kept, targets, self._own(data, rows, targets))
        texts, ids = ["".join(each) for each in parts], encode_joined(self.tokenizer, parts)
        long = np.array([len(each) > self.prompt.max_tokens for each in ids], dtype=bool)
        if (drop > 0).any() or long.any():
            log.warning(
                "%d of %d prompts are longer than prompt.max_tokens (%d): their oldest history items are "
                "dropped", int(((drop > 0) | long).sum()), len(ids), self.prompt.max_tokens,
            )  # fmt: skip
        for k, count, text, short in self._shorten(data, rows, targets, np.flatnonzero(long), drop):
            drop[k], texts[k], ids[k] = count, text, short
        users = data.user_id[rows].tolist()
        placeholders: list[list[int]] = [[] for _ in ids]
        if self.vectors:
            kept = [past[count:] for past, count in zip(histories, drop.tolist(), strict=True)]
            placeholders = [
                [*data.item_id[past].tolist(), target]
                for past, target in zip(kept, targets.tolist(), strict=True)
            ]
        return [Encoded(*each) for each in zip(ids, users, placeholders, texts, strict=True)]

    def _shorten(
        self, data: Interactions, rows: np.ndarray, targets: np.ndarray, long: np.ndarray, drop: np.ndarray
    ) -> Iterator[tuple[int, int, str, list[int]]]:
        """Find by bisection how few history items each prompt that is too long has to drop.

        Args:
            data, rows, targets: of all prompts.
            long: numbers of the prompts that are too long.
            drop: history items that each prompt drops so far.

        Yields:
            A prompt's number, the history items it drops, its text and its token ids.
        """
        low = drop[long]  # too long
        high = np.array([len(self.history(data, int(rows[k]))) for k in long], dtype=np.int64)  # fits
        best = self._encode_some(data, rows, targets, long, high)
        for k, (_, ids) in zip(long.tolist(), best, strict=True):
            check_budget(len(ids), self.prompt.max_tokens, int(targets[k]))
        while (unsettled := np.flatnonzero(high - low > 1)).size:
            middle = (low[unsettled] + high[unsettled]) // 2
            trials = self._encode_some(data, rows, targets, long[unsettled], middle)
            for place, count, trial in zip(unsettled.tolist(), middle.tolist(), trials, strict=True):
                if len(trial[1]) > self.prompt.max_tokens:
                    low[place] = count
                else:
                    high[place], best[place] = count, trial
        for k, count, (text, ids) in zip(long.tolist(), high.tolist(), best, strict=True):
            yield k, count, text, ids

    def _encode_some(
        self, data: Interactions, rows: np.ndarray, targets: np.ndarray, some: np.ndarray, drop: np.ndarray
    ) -> list[tuple[str, list[int]]]:
        """Return text and token ids of some prompts, each without its `drop` oldest history items."""
        texts = self.texts(data, rows[some], targets[some], drop)
        return list(zip(texts, encode_texts(self.tokenizer, texts), strict=True))


def check_budget(needed: int, most: int, item: int) -> None:
    """Check that a prompt without history fits into the token budget.

    Raises:
        ConfigError: it does not.
    """
    if needed > most:
        raise ConfigError(
            f"prompt.max_tokens ({most}) is less than the {needed} tokens of a prompt about item {item} "
            f"without any history: set it to at least {needed} in params.yaml, or lower prompt.keywords"
        )
