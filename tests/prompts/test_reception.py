"""How others received an item, in a prompt: from training rows, and never from the row that it asks about."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.audit import receptions as audit
from thinkrec.audit.receptions import check_receptions
from thinkrec.config.sections import Prompt
from thinkrec.data.tables import SPLITS, Interactions, Items
from thinkrec.llm.backbone import load_backbone
from thinkrec.prompts import reception
from thinkrec.prompts.reception import LEVELS, MIN_ROWS, NOTHING, Own, Receptions
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


def shares(likes: dict[int, tuple[int, int]]) -> list[str | None]:
    """Name the receptions of items 1, 2 and 3."""
    found = Receptions(interactions(likes))
    return [found.of(item) for item in (1, 2, 3)]


def test_items_are_named_by_their_share_of_likes() -> None:
    found = Receptions(interactions({1: (190, 10), 2: (100, 100), 3: (10, 190), 4: (MIN_ROWS - 1, 0)}))
    assert [found.of(item) for item in (4, 1, 3, 2, 0, 99)] == [
        None, "wide acclaim", "poor reception", "mixed reception", None, None
    ]  # fmt: skip


@pytest.mark.parametrize("most", ["likes", "dislikes"])
def test_names_differ_where_nearly_all_rows_are_likes_or_dislikes(most: str) -> None:
    counts = {1: (398, 2), 2: (360, 40), 3: (280, 120)}
    if most == "dislikes":
        counts = {4 - item: (dislikes, likes) for item, (likes, dislikes) in counts.items()}
    order = [name for _, name in LEVELS]
    places = [order.index(name or "") for name in shares(counts)]
    assert places[0] < places[1] < places[2]


def test_a_data_set_of_likes_alone_has_names() -> None:
    assert shares({1: (9, 0), 2: (9, 0), 3: (9, 0)}) == ["good reception"] * 3


def test_levels_fall_and_cover_all_shares() -> None:
    least = [each for each, _ in LEVELS]
    assert least == sorted(least, reverse=True) and least[-1] == -inf
    assert len({name for _, name in LEVELS}) == len(LEVELS)


def test_rows_of_valid_and_test_do_not_count() -> None:
    for split in ("valid", "test"):
        assert Receptions(interactions({1: (90, 0)}, split)).of(1) is None


@pytest.mark.parametrize("dislikes", range(8))
def test_a_row_does_not_know_its_own_label(dislikes: int) -> None:
    """Flipping a row's label changes nothing in what its user is shown, at any share and number of rows."""
    for likes in range(1, 8):
        data = interactions({1: (likes, dislikes), 2: (5, 4)})
        flipped = data.label.copy()
        flipped[0] = 0  # the first row is a like of item 1
        named = []
        for labels in (data.label, flipped):
            found = Receptions(replace(data, label=labels))
            named.append(found.of(1, found.own(data.user_id[:1], data.item_id[:1])[0]))
        assert named[0] == named[1]
        assert (named[0] is None) == (likes + dislikes - 1 < MIN_ROWS)


def test_no_row_of_the_user_counts_where_an_item_comes_again() -> None:
    data = interactions({1: (4, 1), 2: (5, 5)})
    users = data.user_id.copy()
    users[:3] = 77
    found = Receptions(replace(data, user_id=users))
    assert found.own(np.array([77, 77, 4]), np.array([1, 2, 1])) == [
        Own(3, 3, 3, 3), Own(0, 0, 3, 3), Own(1, 1, 1, 1)
    ]  # fmt: skip
    assert found.of(1) is not None and found.of(1, Own(3, 3, 3, 3)) is None


def test_own_rows_are_training_rows_of_known_users_and_items() -> None:
    data = interactions({1: (1, 1), 2: (1, 0)})
    split = data.split.copy()
    split[1] = SPLITS.index("test")
    found = Receptions(replace(data, split=split))
    asked = [(1, 1), (2, 1), (3, 2), (3, 1), (99, 1), (0, 2), (1, 99), (0, 1 + 1 * 3)]
    users, items = (np.array(each) for each in zip(*asked, strict=True))
    assert found.own(users, items) == [
        Own(1, 1, 1, 1), Own(), Own(1, 1, 1, 1), Own(0, 0, 1, 1), Own(), Own(), Own(0, 0, 1, 1), Own()
    ]  # fmt: skip


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

    def named(user: int, item: int) -> str | None:
        (own,) = received.own(np.array([user]), np.array([item]))
        return received.of(item, own)

    rows = np.concatenate([data.rows("train")[5:60], data.rows("test")[:20]])
    shown = 0
    for row, encoded in zip(rows.tolist(), writer.encode(data, rows), strict=True):
        for each in [*writer.history(data, row).tolist(), row]:
            item = int(data.item_id[each])
            name, title = named(int(data.user_id[each]), item), items.title[item]
            said = re.findall(r"\w+", title.lower())
            new = [word for word in items.keywords[item] if word not in said]
            words = ", ".join([*([name] if name else []), *new[:2]])
            if each == row or most == 1024:
                assert f'"{title}" ({words})' in encoded.text
            shown += name is not None
    assert shown > len(rows)
    texts = writer.texts(data, rows, np.full(len(rows), 3))
    for user, text in zip(data.user_id[rows].tolist(), texts, strict=True):
        assert f'"{items.title[3]}" ({named(user, 3)}' in text


def test_without_the_key_nothing_is_shown_and_with_it_they_are_needed(chain: Chain) -> None:
    tokenizer = load_backbone(chain.layout.backbone).tokenizer
    data = Interactions.load(chain.layout.interactions)
    items, rows = Items.load(chain.layout.items, chain.layout.keywords), data.rows("test")[:9]
    plain = PROMPT.model_copy(update={"reception": False})
    texts = [
        PromptWriter(items, plain, tokenizer, receptions=each).texts(data, rows)
        for each in (None, Receptions(data))
    ]
    assert texts[0] == texts[1] and "reception" not in " ".join(texts[0])
    with pytest.raises(ValueError, match="needs the receptions"):
        PromptWriter(items, PROMPT, tokenizer)


def test_no_keyword_looks_like_a_reception(chain: Chain) -> None:
    tokenizer = load_backbone(chain.layout.backbone).tokenizer
    items = Items(["", "New"], [[], ["wide acclaim", "opera"]])
    received = Receptions(interactions({2: (5, 5)}))
    assert PromptWriter(items, PROMPT, tokenizer, receptions=received).line(1).keywords == ["opera"]


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
        LanguageModel(project, "thinkrec-no-projector").writer("rolling"),
        LanguageModel(project, "thinkrec-no-projector").writer("frozen").under("rolling"),
    ]
    own = PromptWriter(project.items, params.prompt, tokenizer, receptions=Receptions(data))
    expected = own.texts(data, rows)
    assert all(writer.texts(data, rows) == expected for writer in writers)
    names = {name for _, name in LEVELS}
    assert all(any(name in text for name in names) for text in expected)


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        ("own", "receptions change with their user's label"),
        ("one", "receptions change with their user's label"),
        ("held out", "receptions change with rows of valid and test"),
    ],
)
def test_the_audit_finds_receptions_that_know_too_much(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, leak: str, said: str
) -> None:
    """Of the own rows, of all but one of them, of the splits that are held out."""
    data = Interactions.load(chain.layout.interactions)
    assert check_receptions(chain.layout, data, {"thinkrec": Prompt()}, "frozen", 7) == []
    (check,) = check_receptions(chain.layout, data, {"thinkrec": PROMPT}, "frozen", 7)
    assert check.verdict == "passed", check.said
    assert check.figures["rows"] > 5

    class Knows(Receptions):
        def __init__(self, data: Interactions) -> None:
            held = data.split * 0 if leak == "held out" else data.split
            super().__init__(replace(data, split=held))

        def own(self, users: np.ndarray, items: np.ndarray) -> list[Own]:
            found = super().own(users, items)
            if leak == "held out":
                return found
            one = [own._replace(rows=min(own.rows, 1), likes=min(own.likes, 1)) for own in found]
            return one if leak == "one" else [NOTHING] * len(found)

    monkeypatch.setattr(audit, "Receptions", Knows)
    (check,) = check_receptions(chain.layout, data, {"thinkrec": PROMPT}, "frozen", 7)
    assert check.verdict == "FAILED" and said in check.said
