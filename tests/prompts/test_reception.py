"""How others received an item, in a prompt: from training rows, and never from the row that it asks about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.audit import receptions as audit
from thinkrec.audit.receptions import check_receptions
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, Interactions, Items
from thinkrec.llm.backbone import load_backbone
from thinkrec.prompts import reception
from thinkrec.prompts.reception import LEVELS, MIN_ROWS, Receptions, own_labels
from thinkrec.prompts.render import PromptWriter
from thinkrec.systems.language import LanguageModel
from thinkrec.systems.project import Project

PROMPT = Prompt(history_length=4, keywords=2, reception=True)


def interactions(likes: dict[int, tuple[int, int]], split: str = "train") -> Interactions:
    """Of each item the given numbers of likes and dislikes, likes first, each by a user of its own."""
    pairs = [(item, k < liked) for item, (liked, not_) in likes.items() for k in range(liked + not_)]
    items, labels = (np.array(each, dtype=np.int64) for each in zip(*pairs, strict=True))
    rows = np.arange(len(items), dtype=np.int64)
    splits = np.full(len(items), SPLITS.index(split), dtype=np.int8)  # type: ignore[arg-type]
    return Interactions(rows + 1, items, labels, rows, rows * 0, splits, rows == rows)


def test_items_are_named_by_their_share_of_likes() -> None:
    found = Receptions(interactions({1: (190, 10), 2: (100, 100), 3: (10, 190), 4: (MIN_ROWS - 1, 0)}))
    assert [found.of(item) for item in (4, 1, 3, 2, 0, 99)] == [
        None, "wide acclaim", "poor reception", "mixed reception", None, None
    ]  # fmt: skip


def test_levels_fall_and_cover_all_shares() -> None:
    shares = [least for least, _ in LEVELS]
    assert shares == sorted(shares, reverse=True) and shares[-1] == 0
    assert len({name for _, name in LEVELS}) == len(LEVELS)


def test_rows_of_valid_and_test_do_not_count() -> None:
    for split in ("valid", "test"):
        assert Receptions(interactions({1: (90, 0)}, split)).of(1) is None


@pytest.mark.parametrize("dislikes", range(8))
def test_a_row_does_not_know_its_own_label(dislikes: int) -> None:
    """Flipping a row's label changes nothing in what the row is shown, at any share and number of rows."""
    for likes in range(1, 8):
        data = interactions({1: (likes, dislikes), 2: (5, 4)})
        flipped = data.label.copy()
        flipped[0] = 0  # the first row is a like of item 1
        shown = Receptions(data).of(1, own=True)
        assert shown == Receptions(replace(data, label=flipped)).of(1, own=False)
        assert (shown is None) == (likes + dislikes - 1 < MIN_ROWS)


def test_a_row_counts_where_it_is_not_asked_about() -> None:
    data = interactions({1: (MIN_ROWS, 0), 2: (5, 5)})
    assert Receptions(data).of(1) is not None and Receptions(data).of(1, own=True) is None


def test_own_labels_are_those_of_training_rows_about_their_own_item() -> None:
    data = interactions({1: (1, 1), 2: (1, 0)})
    split = data.split.copy()
    split[1] = SPLITS.index("test")
    rows = np.array([0, 1, 2, 2])
    assert own_labels(replace(data, split=split), rows, np.array([1, 1, 2, 1])) == [True, None, True, None]


@pytest.mark.parametrize("most", [1024, 90])
def test_prompts_show_it_before_the_keywords(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """In whole prompts and in shortened ones, of the target and of the history, each without its own row."""
    monkeypatch.setattr(reception, "MIN_ROWS", 1)
    tokenizer = load_backbone(chain.layout.backbone).tokenizer
    data = Interactions.load(chain.layout.interactions)
    items, received = Items.load(chain.layout.items, chain.layout.keywords), Receptions(data)
    writer = PromptWriter(
        items, PROMPT.model_copy(update={"max_tokens": most}), tokenizer, receptions=received
    )
    rows = np.concatenate([data.rows("train")[5:60], data.rows("test")[:20]])
    shown = 0
    for row, encoded in zip(rows.tolist(), writer.encode(data, rows), strict=True):
        for each in [*writer.history(data, row).tolist(), row]:
            label = bool(data.label[each]) if data.split[each] == SPLITS.index("train") else None
            name, title = received.of(int(data.item_id[each]), label), items.title[data.item_id[each]]
            new = [word for word in items.keywords[data.item_id[each]] if word not in title.lower().split()]
            words = ", ".join([*([name] if name else []), *new[:2]])
            if each == row or most == 1024:
                assert f'"{title}" ({words})' in encoded.text
            shown += name is not None
    assert shown > len(rows)
    asked = np.full(len(rows), 3)
    line = f'"{items.title[3]}" ({received.of(3)}'
    own = own_labels(data, rows, asked)
    texts = writer.texts(data, rows, asked)
    assert all(line in text for text, label in zip(texts, own, strict=True) if label is None)


def test_without_the_key_nothing_is_shown(chain: Chain) -> None:
    tokenizer = load_backbone(chain.layout.backbone).tokenizer
    data = Interactions.load(chain.layout.interactions)
    items, rows = Items.load(chain.layout.items, chain.layout.keywords), data.rows("test")[:9]
    plain = PROMPT.model_copy(update={"reception": False})
    texts = [
        PromptWriter(items, plain, tokenizer, receptions=each).texts(data, rows)
        for each in (None, Receptions(data))
    ]
    assert texts[0] == texts[1] and "reception" not in " ".join(texts[0])


def test_it_needs_prompts() -> None:
    with pytest.raises(ValueError, match=r"reception needs prompt\.layout prompt"):
        Prompt(reception=True, layout="timeline")


def test_whatever_asks_the_model_shows_it(chain: Chain) -> None:
    """The stages, and the systems that `evaluate` and `thinkrec.load` ask."""
    params = chain.params.model_copy(
        update={"prompt": chain.params.prompt.model_copy(update={"reception": True})}
    )
    project = Project(chain.layout, params)
    data, tokenizer = project.data, project.backbone.tokenizer
    rows = data.rows("test")[:9]
    writers = [
        PromptWriter.load(chain.layout, tokenizer, params.prompt),
        LanguageModel(project, "thinkrec").writer("rolling"),
        LanguageModel(project, "thinkrec").writer("frozen").under("rolling"),
    ]
    texts = [writer.texts(data, rows) for writer in writers]
    names = {name for _, name in LEVELS}
    assert all(any(name in text for name in names) for each in texts for text in each)


def test_the_audit_finds_receptions_that_know_their_row(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Interactions.load(chain.layout.interactions)
    assert check_receptions(data, {"thinkrec": Prompt()}, 7) == []
    (check,) = check_receptions(data, {"thinkrec": PROMPT}, 7)
    assert check.verdict == "passed" and check.figures["rows"] > 5

    class Knows(Receptions):
        def of(self, item: int, own: bool | None = None) -> str | None:
            return super().of(item)

    monkeypatch.setattr(audit, "Receptions", Knows)
    (check,) = check_receptions(data, {"thinkrec": PROMPT}, 7)
    assert check.verdict == "FAILED" and "receptions change with their row's label" in check.said
