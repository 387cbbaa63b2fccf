"""What a prompt says, to the letter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import PROTOCOLS, Protocol

ITEMS = Items(["", "Tide", "Anchor", "Comet"], [[], ["sea", "harbour", "gull"], [], ["space"]])


@pytest.fixture(scope="module")
def loaded(chain: Chain) -> Backbone:
    return load_backbone(chain.layout.backbone)


def text(
    loaded: Backbone, history: list[tuple[int, bool | None]], vectors: bool = False, **prompt: Any
) -> str:
    writer = PromptWriter(ITEMS, Prompt(**{"verdicts": "before", **prompt}), loaded.tokenizer, vectors)
    return writer.text([writer.line(item, liked) for item, liked in history], writer.line(3))


def test_a_prompt_with_a_history(loaded: Backbone) -> None:
    assert text(loaded, [(1, True), (2, False)], keywords=2) == (
        "<|im_start|>user\n"
        "The user's history, oldest first:\n"
        'Liked "Tide" (sea, harbour)\n'
        'Disliked "Anchor"\n'
        "Will the user like the next item? Answer Yes or No, then explain why.\n"
        'Next item: "Comet" (space)<|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_a_prompt_without_a_history(loaded: Backbone) -> None:
    assert text(loaded, []) == (
        "<|im_start|>user\n"
        "The user has no history yet.\n"
        "Will the user like the next item? Answer Yes or No, then explain why.\n"
        'Next item: "Comet" (space)<|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_a_prompt_with_vectors_and_without_labels_and_keywords(loaded: Backbone) -> None:
    assert text(loaded, [(1, None)], vectors=True, keywords=0) == (
        "<|im_start|>user\n"
        "User: <|user_vector|>\n"
        "The user's history, oldest first:\n"
        'Rated <|item_vector|> "Tide"\n'
        "Will the user like the next item? Answer Yes or No, then explain why.\n"
        'Next item: <|item_vector|> "Comet"<|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_a_keyword_that_the_title_says_gives_its_place_to_the_next(loaded: Backbone) -> None:
    keywords = ["story", "children's", "Toy Story", "story line", "🎬", "buzz"]
    shown = PromptWriter(Items(["", "Toy Story 2"], [[], keywords]), Prompt(keywords=4), loaded.tokenizer)
    assert shown.line(1).keywords == ["children's", "story line", "🎬", "buzz"]


def rows(chain: Chain) -> tuple[Interactions, Items]:
    layout = chain.layout
    return Interactions.load(layout.interactions), Items.load(layout.items, layout.keywords)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "prompt", [Prompt(history_length=4, verdicts="before"), Prompt(history_labels=False, verdicts="before")]
)
def test_rows_show_their_own_latest_history(
    chain: Chain, loaded: Backbone, prompt: Prompt, protocol: Protocol
) -> None:
    data, items = rows(chain)
    writer = PromptWriter(items, prompt, loaded.tokenizer, protocol=protocol)
    allowed = {"rolling": (0, 1, 2), "frozen": (0, 1), "train": (0,)}[protocol]
    wanted = data.rows("test")[::7]
    for row, found in zip(wanted.tolist(), writer.encode(data, wanted), strict=True):
        past = [
            k for k in range(row - int(data.position[row]), row)
            if data.split[k] in allowed
        ][-prompt.history_length :]  # fmt: skip
        verdicts = [
            ("Liked" if data.label[k] else "Disliked") if prompt.history_labels else "Rated" for k in past
        ]
        lines = loaded.tokenizer.decode(found.ids).split("\n")
        shown = [line for line in lines if line.split(" ")[0] in ("Liked", "Disliked", "Rated")]
        assert [line.split('"')[0].strip() for line in shown] == verdicts
        assert [line.split('"')[1] for line in shown] == [items.title[data.item_id[k]] for k in past]
        assert found.user == data.user_id[row]


def test_a_writer_under_another_protocol_is_one_made_for_it(chain: Chain, loaded: Backbone) -> None:
    data, items = rows(chain)
    prompt, test = Prompt(history_length=4, verdicts="before"), data.rows("test")
    first = PromptWriter(items, prompt, loaded.tokenizer, protocol="frozen")
    found = {}
    for protocol in PROTOCOLS:
        found[protocol] = first.under(protocol).texts(data, test)
        own = PromptWriter(items, prompt, loaded.tokenizer, protocol=protocol)
        assert found[protocol] == own.texts(data, test)
    assert first.protocol == "frozen" and first.texts(data, test) == found["frozen"]
    assert len({tuple(each) for each in found.values()}) == 3


def test_with_vectors_every_placeholder_has_its_item(chain: Chain, loaded: Backbone) -> None:
    data, items = rows(chain)
    writer = PromptWriter(items, Prompt(history_length=4, verdicts="before"), loaded.tokenizer, vectors=True)
    user, item = loaded.placeholders
    for row, found in zip(range(0, 60), writer.encode(data, np.arange(60)), strict=True):
        assert found.ids.count(user) == 1
        assert found.ids.count(item) == len(found.items)
        past = data.history(row, 4)
        assert found.items == [*data.item_id[past].tolist(), data.item_id[row]]


def test_no_prompt_depends_on_its_own_label_or_on_what_comes_after(chain: Chain, loaded: Backbone) -> None:
    data, items = rows(chain)
    short = Prompt(history_length=4, verdicts="before")
    kinds: tuple[tuple[Prompt, bool, Protocol], ...] = (
        (short, False, "rolling"), (short, True, "rolling"), (short, True, "frozen"),
        (Prompt(verdicts="before"), False, "train"),
    )  # fmt: skip
    for prompt, vectors, protocol in kinds:
        writer = PromptWriter(items, prompt, loaded.tokenizer, vectors, protocol)
        clean = dict(enumerate(writer.encode(data, np.arange(len(data)))))
        for cut in range(int(data.position.max()) + 1):
            now, later = np.flatnonzero(data.position == cut), data.position > cut
            label = np.where(data.position >= cut, 1 - data.label, data.label)
            item = np.where(later, data.item_id % (len(items.title) - 1) + 1, data.item_id)
            planted = replace(data, label=label, item_id=item)
            assert writer.encode(planted, now) == [clean[row] for row in now.tolist()]


def test_train_histories_hold_train_rows_only(chain: Chain) -> None:
    data, _ = rows(chain)
    every = np.arange(len(data))
    past = data.histories(every, 50, "train")
    assert (data.split[past[past >= 0]] == 0).all()
    rolling = data.histories(every, 50)
    assert (data.split[rolling[rolling >= 0]] != 0).any()
    shown = [data.history(row, 50, "train").tolist() for row in every.tolist()]
    assert shown == [[k for k in row if k >= 0] for row in past.tolist()]


def test_a_planted_past_label_is_seen(chain: Chain, loaded: Backbone) -> None:
    data, items = rows(chain)
    writer = PromptWriter(items, Prompt(verdicts="before"), loaded.tokenizer)
    row = int(data.rows("test")[-1])
    label = data.label.copy()
    label[row - 1] = 1 - label[row - 1]
    planted = writer.encode(replace(data, label=label), np.array([row]))
    assert planted != writer.encode(data, np.array([row]))
