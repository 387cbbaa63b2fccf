"""Timelines: one sequence with all of a user's interactions, and a question about each row after its history.

The tokens of an interaction, verdict first, attend only to each other, so that their hidden states do not
depend on their place and contain nothing else. The tokens of a question attend to themselves and to the
latest N interactions. Nothing attends to a question. So no hidden state contains anything beyond the window,
and relative positions, all that rotary embeddings use, depend on the window alone.

Source: dynamic target isolation and streaming prompts (Feng et al. 2025, "Efficient CTR training of LLMs");
isolating interactions instead of resetting hidden states, and having an item once as a question and once as
an interaction, are our choice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.llm.batches import NOWHERE, Packed, Target
from thinkrec.llm.packing import LEAST_TOKENS, Row, longest
from thinkrec.prompts.render import PromptWriter, check_budget
from thinkrec.prompts.tokens import ITEM_TOKEN

log = logging.getLogger(__name__)
Met = Mapping[int, list[int]]


@dataclass(frozen=True)
class Question:
    """A question about one row of the interactions.

    Args:
        row: row number.
        answer: token ids of the answer, empty if only the score is needed.
        bce, ce: weights of the losses.
        item: a candidate in place of the row's own item; no other question sees it.
    """

    row: int
    answer: tuple[int, ...] = ()
    bce: float = 1.0
    ce: float = 0.0
    item: int | None = None


class TimelineWriter:
    """Lays out questions about rows of a data set in timelines.

    Args:
        writer: of the prompts.
        data: the interactions.
        max_tokens: maximum length of a row with several questions; None for the limit by WINDOWS.
    """

    def __init__(self, writer: PromptWriter, data: Interactions, max_tokens: int | None = None) -> None:
        """Keep the writer and the data."""
        self.writer, self.data, self.max_tokens = writer, data, max_tokens
        self.item_token = writer.tokenizer.get_vocab()[ITEM_TOKEN]

    def rows(self, questions: Sequence[Question]) -> Iterator[tuple[list[int], Packed]]:
        """Lay out questions, those of one user in the order of time, in as few rows as possible.

        A question that is longer than `prompt.max_tokens` with its history loses its oldest history items
        until it fits; the number of shortened questions is logged.

        Yields:
            Numbers of the questions, and the row with their targets in the same order.

        Raises:
            ConfigError: a question does not fit even without history.
        """
        prompt = self.writer.prompt
        numbers = np.array([question.row for question in questions], dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        histories = self.data.histories(
            numbers, prompt.history_length, self.writer.protocol, prompt.history_items
        )
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
                "%d of %d questions are longer than prompt.max_tokens (%d): their oldest history items are "
                "dropped", shortened, len(questions), prompt.max_tokens,
            )  # fmt: skip

    def item(self, question: Question) -> int:
        """Return the item of a question."""
        return int(self.data.item_id[question.row]) if question.item is None else question.item

    def _fitting(self, met: Met, asked: int, history: list[int]) -> list[int]:
        """Return the latest interactions that fit into `prompt.max_tokens` together with the question."""
        left, first = self.writer.prompt.max_tokens - asked, len(history)
        while first and (left := left - len(met[history[first - 1]])) >= 0:
            first -= 1
        return history[first:]


class _Line:
    """A row in progress: the interactions it contains, and where they end."""

    def __init__(self, writer: TimelineWriter, met: Met, user: int) -> None:
        self.writer, self.met, self.user = writer, met, user
        self.row = Row(writer.item_token)
        self.numbers: list[int] = []
        self.block: dict[int, int] = {}  # block of each interaction in the row
        self.end: dict[int, int] = {}  # position after each interaction
        self.next = 0
        self.most = writer.max_tokens or LEAST_TOKENS

    def takes(self, question: Question, history: list[int], ask: list[int]) -> bool:
        """Return whether the question is the same user's, its history continues the row's, and it fits."""
        shown = [row in self.block for row in history]
        if self.writer.data.user_id[question.row] != self.user or shown != sorted(shown, reverse=True):
            return False
        new = sum(len(self.met[row]) for row in history if row not in self.block)
        return len(self.row) + new + len(ask) + len(question.answer) <= self.most

    def ask(self, number: int, question: Question, history: list[int], ask: list[int]) -> None:
        """Append the missing interactions of the history, then the question."""
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
            self.most = longest(len(self.row))
        self.numbers.append(number)

    def _show(self, row: int) -> None:
        codes = self._codes(self.met[row], int(self.writer.data.item_id[row]))
        self.block[row] = self.row.new_block()
        self.row.add(codes, self.user, self.next, self.block[row], shared=True)
        self.next += len(codes)
        self.end[row] = self.next

    def _codes(self, ids: list[int], item: int) -> list[int]:
        """Return codes: token ids, with -1 - item for the item's placeholder."""
        return [-1 - item if token == self.writer.item_token else token for token in ids]
