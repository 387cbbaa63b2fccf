"""Time lines: a question sees its window and nothing else, wherever it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_chain import Chain

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import ConfigError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.batches import collate
from thinkrec.llm.loss import joint_loss, scores
from thinkrec.llm.student import Student
from thinkrec.llm.timeline import Question, TimelineWriter
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import PROTOCOLS, Protocol

N = 3


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


def timelines(
    family: Backbone,
    items: Items,
    data: Interactions,
    chain: Chain,
    protocol: Protocol,
    max_tokens: int | None = None,
) -> TimelineWriter:
    prompt = chain.params.prompt.model_copy(update={"history_length": N})
    writer = PromptWriter(items, prompt, family.tokenizer, protocol=protocol)
    return TimelineWriter(writer, data, max_tokens)


def scored(family: Backbone, writer: TimelineWriter, rows: np.ndarray) -> np.ndarray:
    return answers(family, writer, [Question(row) for row in rows.tolist()])


def busy(data: Interactions, count: int) -> np.ndarray:
    """All rows of the users with the most of them."""
    users = np.argsort(-np.bincount(data.user_id), kind="stable")[:count]
    return np.flatnonzero(np.isin(data.user_id, users))


def test_a_row_of_many_questions_scores_as_many_rows_of_one(
    family: Backbone, items: Items, data: Interactions, chain: Chain, protocol: Protocol
) -> None:
    rows = busy(data, 3)
    long, short = (timelines(family, items, data, chain, protocol, most) for most in (2000, 1))
    laid = list(long.rows([Question(row) for row in rows.tolist()]))
    assert len(laid) <= 6 and sorted(number for numbers, _ in laid for number in numbers) == list(
        range(len(rows))
    )
    together, alone = scored(family, long, rows), scored(family, short, rows)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(scored(family, long, rows[::-1]), together[::-1], atol=1e-4)
    assert np.ptp(together) > 1e-2


def test_what_lies_beyond_the_window_changes_no_score(
    family: Backbone, items: Items, data: Interactions, chain: Chain, protocol: Protocol
) -> None:
    """Nor do the target's own label and what comes later; what lies in the window does."""
    rows = busy(data, 1)
    target = rows[-1]
    history = data.histories(np.array([target]), N, protocol)[0]  # type: ignore[arg-type]
    assert (history >= 0).all()
    outside, inside = np.setdiff1d(rows, [*history, target]), history[:1]
    assert len(outside) > 3
    before = scored(family, timelines(family, items, data, chain, protocol, 4000), rows)[-1]
    for changed, same in ((outside, True), (rows[-1:], True), (inside, False)):
        label, item = data.label.copy(), data.item_id.copy()
        label[changed] = 1 - label[changed]
        if changed is not rows[-1:] and changed[0] != target:
            item[changed] = item[changed] % (len(items.title) - 1) + 1
        other = replace(data, label=label, item_id=item)
        after = scored(family, timelines(family, items, other, chain, protocol, 4000), rows)[-1]
        assert (abs(after - before) < 1e-4) == same  # float32: blocks of other lengths


def test_later_rows_change_no_score(family: Backbone, items: Items, data: Interactions, chain: Chain) -> None:
    rows = busy(data, 1)
    middle = len(rows) // 2
    label, item = data.label.copy(), data.item_id.copy()
    label[rows[middle:]] = 1 - label[rows[middle:]]
    item[rows[middle + 1 :]] = item[rows[middle + 1 :]] % (len(items.title) - 1) + 1
    before = scored(family, timelines(family, items, data, chain, "rolling", 4000), rows)
    other = replace(data, label=label, item_id=item)
    after = scored(family, timelines(family, items, other, chain, "rolling", 4000), rows)
    np.testing.assert_allclose(after[: middle + 1], before[: middle + 1], atol=1e-5)
    assert np.abs(after[middle + 1 :] - before[middle + 1 :]).max() > 1e-3


def test_a_window_scores_the_same_at_any_place(
    family: Backbone, items: Items, data: Interactions, chain: Chain
) -> None:
    """Two users with the same latest N items and target, one of them after a long past."""
    source = busy(data, 1)[-(N + 1) :]
    long, short = busy(data, 2), np.arange(len(source))
    other = np.setdiff1d(np.unique(data.user_id[long]), data.user_id[source])[0]
    rows = np.flatnonzero(data.user_id == other)
    label, item = data.label.copy(), data.item_id.copy()
    label[rows[-(N + 1) :]], item[rows[-(N + 1) :]] = data.label[source], data.item_id[source]
    copied = replace(data, label=label, item_id=item)
    writer = timelines(family, items, copied, chain, "rolling", 4000)
    far, near = scored(family, writer, rows), scored(family, writer, source[-1:])
    assert len(short) == N + 1 and far[-1] == pytest.approx(near[-1], abs=1e-4)


def test_reasons_and_verdicts_of_one_row_see_the_same(
    family: Backbone, items: Items, data: Interactions, chain: Chain, protocol: Protocol
) -> None:
    """Two questions about a row, one with a long answer: the losses are those of rows of one question."""
    rows = busy(data, 1)[:8].tolist()
    answers = {row: family.answers[0 if data.label[row] else 1] for row in rows}
    questions = [Question(row, (answers[row],), 0.9, 0.1) for row in rows]
    questions += [Question(row, (answers[row], 7, 9, 11), 0.1, 0.9) for row in rows[::2]]
    found = []
    for most in (4000, 1):
        losses = torch.zeros(len(questions))
        for numbers, row in timelines(family, items, data, chain, protocol, most).rows(questions):
            batch = collate([row], family.pad)
            loss = joint_loss(Student(family)(batch), family.head, batch, family.answers, "yes_minus_no")
            losses[numbers] = loss.total
            assert [len(target.answer) for target in row.targets] == [
                len(questions[n].answer) for n in numbers
            ]
        found.append(losses)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_items_are_laid_out_once(family: Backbone, items: Items, data: Interactions, chain: Chain) -> None:
    """Tokens a question: an interaction and a question, not a history."""
    rows = busy(data, 2)
    laid = list(
        timelines(family, items, data, chain, "rolling", 4000).rows([Question(r) for r in rows.tolist()])
    )
    writer = timelines(family, items, data, chain, "rolling").writer
    met = writer.interaction_ids(data, rows.tolist())
    asks = writer.question_ids(data.item_id[rows].tolist())
    once = sum(len(met[row]) + len(asks[int(data.item_id[row])]) for row in rows.tolist())
    last = rows[np.append(np.diff(data.user_id[rows]) > 0, True)].tolist()  # nobody asks after these
    assert len(laid) == 2
    assert sum(len(row.ids) for _, row in laid) == once - sum(len(met[row]) for row in last)


def test_candidates_behind_a_time_line_score_as_alone(
    family: Backbone, items: Items, data: Interactions, chain: Chain, protocol: Protocol
) -> None:
    """Many items asked about at one moment, its own among them, leave each other's and later scores alone."""
    rows = busy(data, 1)[N:-1]
    asked = [Question(row, item=item) for row in rows[::3].tolist() for item in (3, 7, 11)]
    own = [Question(row) for row in rows.tolist()]
    together = answers(family, timelines(family, items, data, chain, protocol, 4000), [*own, *asked])
    alone = answers(family, timelines(family, items, data, chain, protocol, 1), [*own, *asked])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    without = answers(family, timelines(family, items, data, chain, protocol, 4000), own)
    np.testing.assert_allclose(together[: len(own)], without, atol=1e-4)
    same = Question(int(rows[0]), item=int(data.item_id[rows[0]]))
    assert answers(family, timelines(family, items, data, chain, protocol), [same])[0] == pytest.approx(
        together[0], abs=1e-4
    )


def answers(family: Backbone, writer: TimelineWriter, questions: list[Question]) -> np.ndarray:
    """Scores of questions, [n]."""
    found = np.full(len(questions), np.nan)
    for numbers, row in writer.rows(questions):
        batch = collate([row], family.pad)
        with torch.no_grad():
            found[numbers] = scores(
                Student(family)(batch), family.head, batch, family.answers, "yes_minus_no"
            )
    return found


def test_a_question_that_is_too_long_drops_its_oldest_history_items(
    family: Backbone, items: Items, data: Interactions, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    rows = busy(data, 1)[N : N + 4]
    whole = timelines(family, items, data, chain, "rolling", 1)
    longest = max(len(row.ids) for _, row in whole.rows([Question(row) for row in rows.tolist()]))
    prompt = whole.writer.prompt.model_copy(update={"max_tokens": longest - 1})
    short = TimelineWriter(PromptWriter(items, prompt, family.tokenizer), data, 1)
    laid = [row for _, row in short.rows([Question(row) for row in rows.tolist()])]
    assert max(len(row.ids) for row in laid) < longest
    assert all(row.targets[0].row == at for row, at in zip(laid, rows.tolist(), strict=True))
    assert "questions are longer than prompt.max_tokens" in caplog.text
    tiny = whole.writer.prompt.model_copy(update={"max_tokens": 3})
    alone = TimelineWriter(PromptWriter(items, tiny, family.tokenizer), data, 1)
    with pytest.raises(
        ConfigError, match=r"^prompt.max_tokens \(3\) is less than the \d+ tokens of a prompt"
    ):
        list(alone.rows([Question(row) for row in rows.tolist()]))


def test_a_title_that_holds_what_looks_like_a_mark_is_only_text(family: Backbone, items: Items) -> None:
    title = items.title.copy()
    title[1] = "Night \ue000 <|cut|> Train"
    writer = PromptWriter(replace(items, title=title), Prompt(verdicts="before"), family.tokenizer)
    assert len(writer.question_ids([1])) == 1
