"""Time lines: a user's items laid out once, each row's question asked where its history ends.

An item's tokens see only themselves, so that they mean the same wherever they stand, and what they carry
comes from nowhere else. Only a question sees others: its own item and the verdicts and items of the latest N
interactions. Nothing sees a question. So no state carries what lies beyond the window, and positions, of
which rotary embeddings read differences alone, are the same for the same window at any place.

Source: dynamic target isolation and streaming prompts (Feng et al. 2025, "Efficient CTR training of LLMs");
that items are read by themselves instead of resetting hidden states is our choice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.llm.batches import NOWHERE, Packed, Target
from thinkrec.llm.packing import Row
from thinkrec.prompts.render import ITEM_TOKEN, PromptWriter, answer_ids

Turns = Mapping[int, tuple[list[int], list[int]]]
WINDOWS, LEAST_TOKENS = 4, 1024
"""A row holds so many times the tokens of its first question and its history, but at least LEAST_TOKENS: that
history is laid out anew in each row, and attention costs the square of a row (our choice)."""
log = logging.getLogger(__name__)


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
        most_tokens: of a row, None for as many as WINDOWS says; a single question may need more.
    """

    def __init__(self, writer: PromptWriter, data: Interactions, most_tokens: int | None = None) -> None:
        """Keep the parts."""
        self.writer, self.data, self.most_tokens = writer, data, most_tokens
        self.item_token = writer.tokenizer.get_vocab()[ITEM_TOKEN]
        self.answers = answer_ids(writer.tokenizer)

    def rows(self, questions: Sequence[Question]) -> Iterator[tuple[list[int], Packed]]:
        """Lay questions out, those of one user in the order of time, in as few rows as hold them.

        Where a question with its history is longer than `prompt.most_tokens`, its oldest history items are
        left out until it fits; how many questions were shortened is logged.

        Yields:
            Numbers of the questions, and the row with their targets in the same order.
        """
        prompt = self.writer.prompt
        numbers = np.array([question.row for question in questions], dtype=np.int64)
        # Candidates before the row's own item, which they must not see.
        order = np.lexsort((np.array([question.item is None for question in questions]), numbers))
        histories = self.data.histories(numbers, prompt.history_length, prompt.history)
        needed = np.unique(np.append(histories[histories >= 0], numbers))
        asked = [question.item for question in questions if question.item is not None]
        turns = self.writer.turns([*self.data.item_id[needed].tolist(), *asked])
        line: _Line | None = None
        shortened = 0
        for number in order.tolist():
            question, whole = questions[number], [row for row in histories[number].tolist() if row >= 0]
            history = self._fitting(turns, question, whole)
            shortened += len(history) < len(whole)
            if line is None or not line.takes(question, history):
                if line is not None:
                    yield line.numbers, line.row.packed
                line = _Line(self, turns, int(self.data.user_id[question.row]))
            line.ask(number, question, history)
        if line is not None:
            yield line.numbers, line.row.packed
        if shortened:
            log.warning(
                "%d of %d questions exceed prompt.most_tokens (%d): their oldest history is left out",
                shortened, len(questions), prompt.most_tokens,
            )  # fmt: skip

    def item(self, question: Question) -> int:
        """The item that is asked about."""
        return int(self.data.item_id[question.row]) if question.item is None else question.item

    def _fitting(self, turns: Turns, question: Question, history: list[int]) -> list[int]:
        """The latest items of a history that fit with the question into `prompt.most_tokens`."""
        left = self.writer.prompt.most_tokens - sum(map(len, turns[self.item(question)]))
        first = len(history)
        while first and (left := left - len(turns[int(self.data.item_id[history[first - 1]])][0]) - 1) >= 0:
            first -= 1
        return history[first:]


class _Line:
    """One row under way: which interactions it shows, and where the next one begins."""

    def __init__(self, writer: TimelineWriter, turns: Turns, user: int) -> None:
        self.writer, self.turns, self.user = writer, turns, user
        self.row = Row(writer.item_token)
        self.numbers: list[int] = []
        self.block: dict[int, int] = {}  # of each interaction shown
        self.place: dict[int, int] = {}  # position of its verdict
        self.judged: set[int] = set()  # those whose verdict is shown
        self.next = 0
        self.most = writer.most_tokens or LEAST_TOKENS

    def takes(self, question: Question, history: list[int]) -> bool:
        """Whether the question is the same user's and there is room for it."""
        if self.writer.data.user_id[question.row] != self.user:
            return False
        new = [int(self.writer.data.item_id[row]) for row in history if row not in self.block]
        item = self.writer.item(question)
        size = sum(len(self._turn(each)[0]) + 1 for each in [*new, item])
        return len(self.row) + size + len(self._turn(item)[1]) + len(question.answer) <= self.most

    def ask(self, number: int, question: Question, history: list[int]) -> None:
        """Show what is not shown yet of the history, the item, then ask."""
        prompt, row = self.writer.writer.prompt, question.row
        for past in history:
            self._show(past)
            if prompt.history_labels and past not in self.judged:
                self._judge(past)
        stays, asks = self._turn(self.writer.item(question))
        said = [*asks, *question.answer[:-1]]
        if prompt.history == "rolling" and question.item is None:  # it stays in view of later questions
            self._show(row)
            reach = self.block[history[0]] if history else self.block[row]
            self.row.add(said, self.user, self.place[row], self.row.new_block(), reach=reach)
        else:
            block = self.row.new_block()
            reach = self.block[history[0]] if history else NOWHERE
            start = self.place[history[-1]] + int(prompt.history_labels) if history else 0
            self.row.add(stays, self.user, start, block)
            self.row.add(said, self.user, start + len(stays), block, reach=reach)
        at, label = len(self.row) - max(len(question.answer), 1), int(self.writer.data.label[row])
        ce = question.ce if question.answer else 0.0
        self.row.packed.targets.append(Target(at, [*question.answer], label, question.bce, ce, row))
        if not self.numbers and self.writer.most_tokens is None:
            self.most = max(WINDOWS * len(self.row), LEAST_TOKENS)
        self.numbers.append(number)

    def _turn(self, item: int) -> tuple[list[int], list[int]]:
        """What stays in view of an item, as codes, and the question about it."""
        stays, asks = self.turns[item]
        return [-1 - item if code == self.writer.item_token else code for code in stays], asks

    def _show(self, row: int) -> None:
        if row in self.block:
            return
        stays, _ = self._turn(int(self.writer.data.item_id[row]))
        self.block[row], self.place[row] = self.row.new_block(), self.next + len(stays)
        self.row.add(stays, self.user, self.next, self.block[row], shared=True)
        self.next += len(stays) + int(self.writer.writer.prompt.history_labels)

    def _judge(self, row: int) -> None:
        verdict = self.writer.answers[0 if self.writer.data.label[row] else 1]
        self.row.add([verdict], self.user, self.place[row], self.block[row], shared=True)
        self.judged.add(row)
