"""Examples laid into rows together: side by side without padding, or behind the history that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from thinkrec.llm.batches import NOWHERE, Example, Packed, Target

LEAST_SAVED = 0.3
"""Share of a prompt that has to be saved before it joins others behind one beginning (our choice)."""


@dataclass
class Row:
    """A row that grows block by block.

    Tokens are given as codes: token ids, and -1 - item for a placeholder of an item's vector.

    Args:
        item_token: id of that placeholder.
    """

    item_token: int
    packed: Packed = field(default_factory=lambda: Packed([], [], [], [], [], [], [], []))
    blocks: int = 0

    def __len__(self) -> int:
        """Count of tokens."""
        return len(self.packed.ids)

    def new_block(self) -> int:
        """Number of a block that nothing belongs to yet; later ones are higher."""
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
            user: whose gate they are computed with.
            position: of the first of them.
            block: to which they belong.
            shared: whether later blocks may see them.
            reach: the lowest block whose shared tokens they see.
        """
        size, row = len(codes), self.packed
        row.ids.extend(self.item_token if code < 0 else code for code in codes)
        row.items.extend(-1 - code for code in codes if code < 0)
        row.position.extend(range(position, position + size))
        for column, value in ((row.block, block), (row.reach, reach), (row.user, user)):
            column.extend([value] * size)
        row.shared.extend([shared] * size)

    def aim(self, example: Example, answer: list[int]) -> None:
        """Read an example's score at the last token."""
        weights = (example.label, example.bce, example.ce if answer else 0.0, example.row)
        self.packed.targets.append(Target(len(self) - 1, answer, *weights))


def coded(example: Example, item_token: int) -> list[int]:
    """Token ids with -1 - item in place of the placeholders."""
    items = iter(example.items)
    return [-1 - next(items) if example.items and token == item_token else token for token in example.ids]


def side_by_side(examples: Sequence[Example], item_token: int) -> list[Packed]:
    """Lay examples into as few rows as first-fit finds, none longer than the longest of them.

    Each keeps its own positions and sees itself alone, so that losses and scores are those of padded rows.
    The longest come first.
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
    """Prompts of one user, and how many first codes they share."""

    numbers: list[int]
    prompts: list[list[int]]
    common: int

    def tokens(self, common: int) -> int:
        return common + sum(len(prompt) - common for prompt in self.prompts)


def shared_prefixes(
    examples: Sequence[Example], item_token: int, max_tokens: int
) -> Iterator[tuple[list[int], Packed]]:
    """Lay prompts of one user behind the beginning that they share, such as a history with many candidates.

    A prompt joins those before it where that saves LEAST_SAVED of its tokens, and stays alone otherwise.
    Answers are left out: rows are for scoring.

    Args:
        examples: in any order.
        item_token: placeholder of an item's vector; prompts with other vectors there are not the same.
        max_tokens: of a row, but for a single prompt; a further candidate begins a new row.

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
            if joined <= min(max_tokens, alone - LEAST_SAVED * len(prompt)):
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
    """How many first codes of both are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _tree(group: _Group, examples: Sequence[Example], item_token: int) -> Packed:
    row, common, user = Row(item_token), group.common, examples[group.numbers[0]].user
    row.add(group.prompts[0][:common], user, 0, row.new_block(), shared=True)
    for number, prompt in zip(group.numbers, group.prompts, strict=True):
        row.add(prompt[common:], user, common, row.new_block(), reach=0)
        row.aim(examples[number], [])
    return row.packed
