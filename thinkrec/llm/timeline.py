"""Time lines: a user's interactions laid out once, each row's question asked where its history ends.

An interaction's tokens, verdict first, see only themselves, so that they mean the same wherever they stand,
and what they carry comes from nowhere else. A question holds its own item, whose words see those of the
latest N interactions and their verdicts. Nothing sees a question. So no state carries what lies beyond the
window, and positions, of which rotary embeddings read differences alone, are the same for the same window at
any place.

Source: dynamic target isolation and streaming prompts (Feng et al. 2025, "Efficient CTR training of LLMs");
that interactions are read by themselves, instead of resetting hidden states, and that an item is laid out
once to be asked about and once to be remembered, is our choice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.llm.batches import NOWHERE, Packed, Target
from thinkrec.llm.packing import Row
from thinkrec.prompts.render import PromptWriter, check_budget
from thinkrec.prompts.tokens import ITEM_TOKEN

WINDOWS, LEAST_TOKENS = 4, 1024
"""A row holds so many times the tokens of its first question and its history, but at least LEAST_TOKENS: that
history is laid out anew in each row, and attention costs the square of a row (our choice)."""
log = logging.getLogger(__name__)
Met = Mapping[int, list[int]]


@dataclass(frozen=True)
class Question:
    """What is asked about one row of the interactions.

    Args:
        row: its number.
        answer: token ids of the answer, empty for a score alone.
        bce, ce: weights of the losses.
        item: a candidate to be asked about in place of the row's own item; it stays out of view of others.
    """

    row: int
    answer: tuple[int, ...] = ()
    bce: float = 1.0
    ce: float = 0.0
    item: int | None = None


class TimelineWriter:
    """Lays out questions about rows of a data set.

    Args:
        writer: of the prompts' texts.
        data: the interactions.
        max_tokens: of a row, None for as many as WINDOWS says; a single question may need more.
    """

    def __init__(self, writer: PromptWriter, data: Interactions, max_tokens: int | None = None) -> None:
        """Keep the parts."""
        self.writer, self.data, self.max_tokens = writer, data, max_tokens
        self.item_token = writer.tokenizer.get_vocab()[ITEM_TOKEN]

    def rows(self, questions: Sequence[Question]) -> Iterator[tuple[list[int], Packed]]:
        """Lay questions out, those of one user in the order of time, in as few rows as hold them.

        Where a question with its history is longer than `prompt.max_tokens`, its oldest history items are
        left out until it fits; how many questions were shortened is logged.

        Yields:
            Numbers of the questions, and the row with their targets in the same order.

        Raises:
            ConfigError: a question does not even fit without any history.
        """
        prompt = self.writer.prompt
        numbers = np.array([question.row for question in questions], dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        histories = self.data.histories(numbers, prompt.history_length, prompt.history, prompt.history_items)
        met = self.writer.interaction_ids(self.data, np.unique(histories[histories >= 0]).tolist())
        asks = self.writer.question_ids([self.item(question) for question in questions])
        line: _Line | None = None
        shortened = 0
        for number in order.tolist():
            question, whole = questions[number], [row for row in histories[number].tolist() if row >= 0]
            ask = asks[self.item(question)]
            check_budget(len(ask), prompt.max_tokens, self.item(question))
            history = self._fitting(met, len(ask), whole)
            shortened += len(history) < len(whole)
            if line is None or not line.takes(question, history, ask):
                if line is not None:
                    yield line.numbers, line.row.packed
                line = _Line(self, met, int(self.data.user_id[question.row]))
            line.ask(number, question, history, ask)
        if line is not None:
            yield line.numbers, line.row.packed
        if shortened:
            log.warning(
                "%d of %d questions exceed prompt.max_tokens (%d): their oldest history is left out",
                shortened, len(questions), prompt.max_tokens,
            )  # fmt: skip

    def item(self, question: Question) -> int:
        """The item that is asked about."""
        return int(self.data.item_id[question.row]) if question.item is None else question.item

    def _fitting(self, met: Met, asked: int, history: list[int]) -> list[int]:
        """The latest interactions of a history that fit with a question into `prompt.max_tokens`."""
        left, first = self.writer.prompt.max_tokens - asked, len(history)
        while first and (left := left - len(met[history[first - 1]])) >= 0:
            first -= 1
        return history[first:]


class _Line:
    """One row under way: which interactions it shows, and where they end."""

    def __init__(self, writer: TimelineWriter, met: Met, user: int) -> None:
        self.writer, self.met, self.user = writer, met, user
        self.row = Row(writer.item_token)
        self.numbers: list[int] = []
        self.block: dict[int, int] = {}  # of each interaction shown
        self.end: dict[int, int] = {}  # position behind it
        self.next = 0
        self.most = writer.max_tokens or LEAST_TOKENS

    def takes(self, question: Question, history: list[int], ask: list[int]) -> bool:
        """Whether it is the same user's, its history goes on where the row's ends, and there is room."""
        shown = [row in self.block for row in history]
        if self.writer.data.user_id[question.row] != self.user or shown != sorted(shown, reverse=True):
            return False
        new = sum(len(self.met[row]) for row in history if row not in self.block)
        return len(self.row) + new + len(ask) + len(question.answer) <= self.most

    def ask(self, number: int, question: Question, history: list[int], ask: list[int]) -> None:
        """Show what is not shown yet of the history, then ask."""
        for past in history:
            if past not in self.block:
                self._show(past)
        said = [*self._codes(ask, self.writer.item(question)), *question.answer[:-1]]
        start, reach = (self.end[history[-1]], self.block[history[0]]) if history else (0, NOWHERE)
        self.row.add(said, self.user, start, self.row.new_block(), reach=reach)
        row, at = question.row, len(self.row) - max(len(question.answer), 1)
        label, ce = int(self.writer.data.label[row]), question.ce if question.answer else 0.0
        self.row.packed.targets.append(Target(at, [*question.answer], label, question.bce, ce, row))
        if not self.numbers and self.writer.max_tokens is None:
            self.most = max(WINDOWS * len(self.row), LEAST_TOKENS)
        self.numbers.append(number)

    def _show(self, row: int) -> None:
        codes = self._codes(self.met[row], int(self.writer.data.item_id[row]))
        self.block[row] = self.row.new_block()
        self.row.add(codes, self.user, self.next, self.block[row], shared=True)
        self.next += len(codes)
        self.end[row] = self.next

    def _codes(self, ids: list[int], item: int) -> list[int]:
        """Token ids with -1 - item in place of the item's vector."""
        return [-1 - item if token == self.writer.item_token else token for token in ids]
