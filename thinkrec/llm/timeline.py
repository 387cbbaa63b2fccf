"""Time lines: a user's items laid out once, each row's question asked where its history ends.

An item's tokens see only themselves, so that they mean the same wherever they stand, and what they carry
comes from nowhere else. Only a question sees others: its own item and the verdicts and items of the latest N
interactions. Nothing sees a question. So no state carries what lies beyond the window, and positions, of
which rotary embeddings read differences alone, are the same for the same window at any place.

Source: dynamic target isolation and streaming prompts (Feng et al. 2025, "Efficient CTR training of LLMs");
that items are read by themselves instead of resetting hidden states is our choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thinkrec.data.tables import Interactions
from thinkrec.llm.batches import NOWHERE, Packed, Target
from thinkrec.llm.packing import Row
from thinkrec.prompts.render import ITEM_TOKEN, PromptWriter, answer_ids

Turns = Mapping[int, tuple[list[int], list[int]]]
MOST_TOKENS = 512
"""Longest row; attention costs its square, the history before its first question is laid out anew."""


@dataclass(frozen=True)
class Question:
    """What is asked about one row of the interactions.

    Args:
        row: its number.
        answer: token ids of the answer, empty for a score alone.
        bce, ce: weights of the losses.
    """

    row: int
    answer: tuple[int, ...] = ()
    bce: float = 1.0
    ce: float = 0.0


class TimelineWriter:
    """Lays out questions about rows of a data set.

    Args:
        writer: of the prompts' texts.
        data: the interactions.
        most_tokens: of a row; a single question may need more.
    """

    def __init__(self, writer: PromptWriter, data: Interactions, most_tokens: int = MOST_TOKENS) -> None:
        """Keep the parts."""
        self.writer, self.data, self.most_tokens = writer, data, most_tokens
        self.item_token = writer.tokenizer.get_vocab()[ITEM_TOKEN]
        self.answers = answer_ids(writer.tokenizer)

    def rows(self, questions: Sequence[Question]) -> Iterator[tuple[list[int], Packed]]:
        """Lay questions out, those of one user in the order of time, in as few rows as hold them.

        Yields:
            Numbers of the questions, and the row with their targets in the same order.
        """
        prompt = self.writer.prompt
        numbers = np.array([question.row for question in questions], dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        histories = self.data.histories(numbers, prompt.history_length, prompt.history)
        needed = np.unique(np.append(histories[histories >= 0], numbers))
        turns = self.writer.turns(self.data.item_id[needed].tolist())
        line: _Line | None = None
        for number in order.tolist():
            question, history = questions[number], [row for row in histories[number].tolist() if row >= 0]
            if line is None or not line.takes(question, history):
                if line is not None:
                    yield line.numbers, line.row.packed
                line = _Line(self, turns, int(self.data.user_id[question.row]))
            line.ask(number, question, history)
        if line is not None:
            yield line.numbers, line.row.packed


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

    def takes(self, question: Question, history: list[int]) -> bool:
        """Whether the question is the same user's and there is room for it."""
        if self.writer.data.user_id[question.row] != self.user:
            return False
        new = [row for row in (*history, question.row) if row not in self.block]
        size = sum(len(self._turn(row)[0]) + 1 for row in new)
        size += len(self._turn(question.row)[1]) + len(question.answer)
        return len(self.row) + size <= self.writer.most_tokens

    def ask(self, number: int, question: Question, history: list[int]) -> None:
        """Show what is not shown yet of the history, the item, then ask."""
        prompt, row = self.writer.writer.prompt, question.row
        for past in history:
            self._show(past)
            if prompt.history_labels and past not in self.judged:
                self._judge(past)
        stays, asks = self._turn(row)
        said = [*asks, *question.answer[:-1]]
        if prompt.history == "rolling":  # the item stays in view of later questions
            self._show(row)
            reach = self.block[history[0]] if history else self.block[row]
            self.row.add(said, self.user, self.place[row], self.row.new_block(), reach=reach)
        else:
            block = self.row.new_block()
            reach = self.block[history[0]] if history else NOWHERE
            self.row.add(stays, self.user, self.next, block)
            self.row.add(said, self.user, self.next + len(stays), block, reach=reach)
        at, label = len(self.row) - max(len(question.answer), 1), int(self.writer.data.label[row])
        ce = question.ce if question.answer else 0.0
        self.row.packed.targets.append(Target(at, [*question.answer], label, question.bce, ce, row))
        self.numbers.append(number)

    def _turn(self, row: int) -> tuple[list[int], list[int]]:
        """What stays in view of an interaction, as codes, and the question about it."""
        item = int(self.writer.data.item_id[row])
        stays, asks = self.turns[item]
        return [-1 - item if code == self.writer.item_token else code for code in stays], asks

    def _show(self, row: int) -> None:
        if row in self.block:
            return
        stays, _ = self._turn(row)
        self.block[row], self.place[row] = self.row.new_block(), self.next + len(stays)
        self.row.add(stays, self.user, self.next, self.block[row], shared=True)
        self.next += len(stays) + int(self.writer.writer.prompt.history_labels)

    def _judge(self, row: int) -> None:
        verdict = self.writer.answers[0 if self.writer.data.label[row] else 1]
        self.row.add([verdict], self.user, self.place[row], self.block[row], shared=True)
        self.judged.add(row)
