"""Packing of examples into rows: side by side without padding, or after a shared history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from thinkrec.llm.batches import NOWHERE, Example, Packed, Target

WINDOWS, LEAST_TOKENS = 4, 1024
"""A row has at most WINDOWS times the tokens of its first question with history, but at least LEAST_TOKENS:
each row repeats that history, and attention is quadratic in a row's length (our choice)."""
LEAST_SAVED = 0.3
"""Minimum share of a prompt's tokens to be saved by sharing a prefix with others (our choice)."""


def longest(first: int) -> int:
    """Return the most tokens of a row whose first question has, with its history, `first` tokens."""
    return max(WINDOWS * first, LEAST_TOKENS)


@dataclass
class Row:
    """A row that is built block by block.

    Tokens are given as codes: token ids, or -1 - item for the placeholder of an item's vector.

    Args:
        item_token: token id of that placeholder.
    """

    item_token: int
    packed: Packed = field(default_factory=lambda: Packed([], [], [], [], [], [], [], []))
    blocks: int = 0

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.packed.ids)

    def new_block(self) -> int:
        """Return the number of a new block, higher than all before."""
        self.blocks += 1
        return self.blocks - 1

    def add(
        self,
        codes: Sequence[int],
        user: int,
        position: int,
        block: int,
        shared: bool = False,
        reach: int = NOWHERE,
    ) -> None:
        """Append tokens.

        Args:
            codes: of the tokens.
            user: whose gate they use.
            position: of the first token.
            block: their block.
            shared: whether later blocks may attend to them.
            reach: the lowest block whose shared tokens they attend to.
        """
        size, row = len(codes), self.packed
        row.ids.extend(self.item_token if code < 0 else code for code in codes)
        row.items.extend(-1 - code for code in codes if code < 0)
        row.position.extend(range(position, position + size))
        for column, value in ((row.block, block), (row.reach, reach), (row.user, user)):
            column.extend([value] * size)
        row.shared.extend([shared] * size)

    def aim(self, example: Example, answer: list[int]) -> None:
        """Add a target for an example's score at the last token."""
        weights = (example.label, example.bce, example.ce if answer else 0.0, example.row)
        self.packed.targets.append(Target(len(self) - 1, answer, *weights))


def coded(example: Example, item_token: int) -> list[int]:
    """Return an example's codes: token ids, with -1 - item for item placeholders."""
    items = iter(example.items)
    return [-1 - next(items) if example.items and token == item_token else token for token in example.ids]


def side_by_side(examples: Sequence[Example], item_token: int) -> list[Packed]:
    """Pack examples into rows by first-fit decreasing, none longer than the longest example.

    Each example keeps its own positions and attends to itself alone, so that losses and scores are those of
    padded rows.
    """
    longest = max(len(example.ids) for example in examples)
    rows: list[Row] = []
    for example in sorted(examples, key=lambda each: -len(each.ids)):
        row = next((row for row in rows if len(row) + len(example.ids) <= longest), None)
        if row is None:
            rows.append(row := Row(item_token))
        codes, block = coded(example, item_token), row.new_block()
        row.add(codes[: example.start], example.user, 0, block)
        row.aim(example, example.ids[example.start :])
        row.add(codes[example.start :], example.user, example.start, block)
    return [row.packed for row in rows]


@dataclass
class _Group:
    """Prompts of one user, and the length of their common prefix."""

    numbers: list[int]
    prompts: list[list[int]]
    common: int

    def tokens(self, common: int) -> int:
        return common + sum(len(prompt) - common for prompt in self.prompts)


def shared_prefixes(
    examples: Sequence[Example], item_token: int, max_tokens: int | None = None
) -> Iterator[tuple[list[int], Packed]]:
    """Pack prompts of one user after their common prefix, such as a history with many candidates.

    A prompt joins a row if that saves LEAST_SAVED of its tokens, and otherwise starts a new one. Answers are
    dropped: the rows are for scoring.

    Args:
        examples: in any order.
        item_token: placeholder of an item's vector; prefixes with different items there differ.
        max_tokens: maximum length of a row with several prompts; None for the limit by WINDOWS.

    Yields:
        Numbers of the examples, and the row with their targets in the same order.
    """
    prompts = [coded(example, item_token)[: example.start] for example in examples]
    group: _Group | None = None
    for number in sorted(range(len(examples)), key=lambda k: (examples[k].user, prompts[k])):
        prompt = prompts[number]
        if group and examples[group.numbers[0]].user == examples[number].user:
            common = min(_agreeing(group.prompts[0][: group.common], prompt), len(prompt) - 1)
            joined = group.tokens(common) + len(prompt) - common
            alone = group.tokens(group.common) + len(prompt)
            most = max_tokens or longest(len(group.prompts[0]))
            if joined <= min(most, alone - LEAST_SAVED * len(prompt)):
                group.numbers.append(number)
                group.prompts.append(prompt)
                group.common = common
                continue
        if group:
            yield group.numbers, _tree(group, examples, item_token)
        group = _Group([number], [prompt], len(prompt) - 1)
    if group:
        yield group.numbers, _tree(group, examples, item_token)


def _agreeing(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _tree(group: _Group, examples: Sequence[Example], item_token: int) -> Packed:
    row, common, user = Row(item_token), group.common, examples[group.numbers[0]].user
    row.add(group.prompts[0][:common], user, 0, row.new_block(), shared=True)
    for number, prompt in zip(group.numbers, group.prompts, strict=True):
        row.add(prompt[common:], user, common, row.new_block(), reach=0)
        row.aim(examples[number], [])
    return row.packed
