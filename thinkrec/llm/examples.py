"""Examples from the rows of a data set: recommendation samples, reasoning samples, and their mixture."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq

from thinkrec.config.sections import JointLoss, Training
from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.errors import DataError, ModelError
from thinkrec.layout import Layout
from thinkrec.llm.batches import Example, Packed, Target, count_targets, rows_per_batch
from thinkrec.llm.scorer import Asked
from thinkrec.llm.timeline import Question, TimelineWriter
from thinkrec.processes import world_size
from thinkrec.prompts.escape import tidy
from thinkrec.prompts.render import PromptWriter
from thinkrec.prompts.tokens import ITEM_TOKEN

log = logging.getLogger(__name__)
TRAIN = SPLITS.index("train")
_WINDOW = 50  # optimizer steps within which rows are sorted by length
_HEAVIEST = 4.0  # weight of a rationale in a timeline, above which it is repeated instead (our choice)


@dataclass(frozen=True)
class Rationales:
    """Accepted rationales of one split.

    Args:
        rows: [n] row numbers in the interactions.
        texts: n texts, the first word Yes or No.
    """

    rows: np.ndarray
    texts: list[str]

    @classmethod
    def load(cls, layout: Layout, data: Interactions, split: str) -> Rationales:
        """Read the accepted rationales of a split, with their rows.

        Raises:
            DataError: a rationale belongs to no row.
        """
        columns = ["user_id", "position", "rationale", "accepted", "split"]
        table = pq.read_table(layout.rationales, columns=columns).to_pylist()
        kept = [row for row in table if row["accepted"] and row["split"] == split]
        rows = data.row_of([row["user_id"] for row in kept], [row["position"] for row in kept])
        if (rows < 0).any():
            raise DataError(
                f"{layout.rationales} was made of other interactions: run `thinkrec synthesize` again"
            )
        return cls(rows, [row["rationale"] for row in kept])

    @classmethod
    def for_training(cls, layout: Layout, data: Interactions, loss: JointLoss) -> Rationales:
        """Read those of train; none, and no file, where `loss.reasoning_share` is 0."""
        if not loss.reasoning_share:
            return cls(np.empty(0, dtype=np.int64), [])
        return cls.load(layout, data, "train")

    def only(self, rows: np.ndarray) -> Rationales:
        """Return the rationales of these rows."""
        kept = np.flatnonzero(np.isin(self.rows, rows))
        return Rationales(self.rows[kept], [self.texts[k] for k in kept])


def score_examples_of(
    writer: PromptWriter, data: Interactions, rows: np.ndarray, items: np.ndarray | None = None
) -> list[Example]:
    """Return prompts without answers, for scoring; `items` replace the rows' own items as targets."""
    labels = data.label[rows].tolist()
    return [
        Example(found.ids, len(found.ids), label, user=found.user, items=found.items, row=row)
        for found, label, row in zip(writer.encode(data, rows, items), labels, rows.tolist(), strict=True)
    ]


def recommendation_examples(
    writer: PromptWriter, data: Interactions, rows: np.ndarray, loss: JointLoss
) -> list[Example]:
    """Return prompts whose answer is the single token Yes or No."""
    yes, no = writer.answers
    return [
        replace(
            example,
            ids=[*example.ids, yes if example.label else no],
            bce=loss.recommendation_bce,
            ce=loss.recommendation_ce,
        )
        for example in score_examples_of(writer, data, rows)
    ]


def tiles(data: Interactions, rows: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows whose histories of `length` hardly overlap: of each user one in length + 1.

    Which one is the latest is drawn; of a user with fewer rows it is the last, whose history has all others.
    """
    user = data.user_id[rows]
    order = np.lexsort((-rows, user))  # of each user the latest first
    ordered, owner = rows[order], user[order]
    first = np.r_[True, owner[1:] != owner[:-1]] if len(owner) else np.empty(0, dtype=bool)
    group = np.cumsum(first) - 1
    place = np.arange(len(owner)) - np.flatnonzero(first)[group]
    counts = np.bincount(group) if len(owner) else np.empty(0, dtype=np.int64)
    start = rng.integers(0, np.maximum(np.minimum(counts - length, length + 1), 1))
    return np.sort(ordered[(place - start[group]) % (length + 1) == 0])


def with_history(
    writer: PromptWriter, data: Interactions, examples: Sequence[Example], loss: JointLoss
) -> list[Example]:
    """Return the examples with the verdict of each history item of train as a further target.

    Raises:
        ModelError: the tokenizer does not write each verdict of a history as an answer's token of its own.
    """
    answers, found = writer.answers, []
    for example in examples:
        at = writer.verdict_places(example.ids[: example.start])
        shown = writer.history(data, example.row)
        shown = shown[len(shown) - len(at) :]  # a long prompt leaves out the oldest
        labels = data.label[shown].tolist()
        if [answers[0] if label else answers[1] for label in labels] != [example.ids[k] for k in at]:
            raise ModelError(
                f"the tokenizer writes verdicts in the history of row {example.row} otherwise than as "
                "answers: set training.history to false in params.yaml"
            )
        past = [
            Target(k - 1, [example.ids[k]], label, loss.recommendation_bce, loss.recommendation_ce, row)
            for k, label, row in zip(at, labels, shown.tolist(), strict=True)
            if data.split[row] == TRAIN  # a random split has rows of test in histories of train
        ]
        found.append(replace(example, past=past))
    return found


def reasoning_examples(
    writer: PromptWriter, data: Interactions, rationales: Rationales, loss: JointLoss
) -> list[Example]:
    """Return prompts whose answer is a rationale, followed by the end-of-turn token.

    Its quotes stay as they are, so that titles read as in the prompt.

    Raises:
        ModelError: the tokenizer does not begin a rationale with the token Yes or No.
    """
    tokenizer = writer.tokenizer
    answers = writer.answers
    examples = []
    texts = [tidy(text).partition(".") for text in rationales.texts]
    rests = writer.guard.all(rest for _, _, rest in texts)
    prompts = score_examples_of(writer, data, rationales.rows)
    for example, (first, _, _), rest in zip(prompts, texts, rests, strict=True):
        if first != ("Yes" if example.label else "No"):
            raise ModelError(
                f"the rationale of row {example.row} begins with {first!r}, against its label: run "
                "`thinkrec synthesize` again"
            )
        tail = tokenizer(f".{rest}", add_special_tokens=False)["input_ids"]
        answer = [answers[0] if example.label else answers[1], *tail, tokenizer.eos_token_id]
        examples.append(
            replace(example, ids=[*example.ids, *answer], bce=loss.reasoning_bce, ce=loss.reasoning_ce)
        )
    return examples


def _cycle(count: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return `wanted` indices below `count`: shuffled passes, the last one truncated."""
    passes = [rng.permutation(count) for _ in range(-(-wanted // count))] if wanted else []
    return np.concatenate(passes)[:wanted] if passes else np.empty(0, dtype=np.int64)


def mixture(
    recommendation: Sequence[Example],
    reasoning: Sequence[Example],
    share: float,
    epochs: float,
    step: int,
    seed: int,
    bucketed: bool = True,
) -> list[Example]:
    """Return all samples of a training run in the order of training.

    Each sample is a reasoning sample with probability `share`, else a recommendation sample; their number
    suffices for `epochs` passes over the recommendation samples. If `bucketed`, rows of similar length are
    grouped within a window of optimizer steps, and the steps shuffled: less padding, same mixture. `step` is
    the number of rows per optimizer step over all forward passes and processes, so that a step has the same
    rows however it is divided.

    Source: ThinkRec, section 3.2 (shares); order and passes are our choice.
    """
    rng = np.random.default_rng(seed)
    if share and not reasoning:
        log.warning("no rationale was accepted: training on likes alone")
        share = 0.0
    wanted = round(epochs * len(recommendation))
    places = max(round(wanted / (1 - share)), 1) if share < 1 else max(round(epochs * len(reasoning)), 1)
    is_reasoning = rng.random(places) < share
    laid = np.empty(places, dtype=object)
    laid[is_reasoning] = [reasoning[k] for k in _cycle(len(reasoning), int(is_reasoning.sum()), rng)]
    laid[~is_reasoning] = [
        recommendation[k] for k in _cycle(len(recommendation), int((~is_reasoning).sum()), rng)
    ]
    ordered: list[Example] = []
    if not bucketed:
        return list(laid)
    for first in range(0, places, _WINDOW * step):
        window = sorted(laid[first : first + _WINDOW * step], key=lambda example: len(example.ids))
        steps = [window[k : k + step] for k in range(0, len(window), step)]
        ordered += [example for k in rng.permutation(len(steps)) for example in steps[k]]
    return ordered


def asked_of(
    writer: PromptWriter, data: Interactions, rows: np.ndarray, items: np.ndarray | None = None
) -> Asked:
    """Return the scoring requests of rows, in the layout of the writer's prompts.

    Args:
        writer: of the prompts.
        data: the interactions.
        rows: row numbers, [n], which may repeat.
        items: candidates in place of the rows' own items, [n], or None; labels stay those of the rows.
    """
    if writer.prompt.layout == "prompt":
        item_token = writer.tokenizer.get_vocab()[ITEM_TOKEN]
        return Asked.of_prompts(score_examples_of(writer, data, rows, items), item_token)
    asked = [None] * len(rows) if items is None else items.tolist()
    questions = [Question(row, item=item) for row, item in zip(rows.tolist(), asked, strict=True)]
    laid = TimelineWriter(writer, data).rows(questions)
    return Asked(list(laid), data.user_id[rows], data.label[rows])


def asked_one_by_one(
    writer: PromptWriter, data: Interactions, rows: np.ndarray, items: np.ndarray | None = None
) -> Sequence[Example | Packed]:
    """Return one batch row per row, in order, for generation; `items` as in `asked_of`."""
    if writer.prompt.layout == "prompt":
        return score_examples_of(writer, data, rows, items)
    asked = data.item_id[rows] if items is None else items
    questions = [Question(row, item=item) for row, item in zip(rows.tolist(), asked.tolist(), strict=True)]
    laid = TimelineWriter(writer, data, max_tokens=1).rows(questions)
    found = {numbers[0]: row for numbers, row in laid}
    return [found[number] for number in range(len(rows))]


def timeline_samples(
    writer: PromptWriter,
    data: Interactions,
    rows: np.ndarray,
    rationales: Rationales,
    loss: JointLoss,
    epochs: float,
    seed: int,
) -> list[Packed]:
    """Return the timelines of rows in random order, `epochs` times.

    Every row is a question for Yes or No, and each row with a rationale a further one for the rationale, with
    repetitions and weights (at most _HEAVIEST times its own) that give both kinds their shares in `mixture`.
    """
    share = loss.reasoning_share if len(rationales.rows) else 0.0
    reasons = reasoning_examples(writer, data, rationales, loss) if share else []
    factor = share / (1 - share) * len(rows) / len(reasons) if reasons and share < 1 else 1.0
    yes, no = writer.answers
    verdicts = [yes if liked else no for liked in data.label[rows].tolist()]
    bce, ce = loss.recommendation_bce, loss.recommendation_ce
    questions = (
        [Question(r, (v,), bce, ce) for r, v in zip(rows.tolist(), verdicts, strict=True)]
        if share < 1
        else []
    )
    times = max(math.ceil(factor / _HEAVIEST), 1)
    questions += [
        Question(each.row, tuple(each.ids[each.start :]), factor / times * each.bce, factor / times * each.ce)
        for each in reasons
        for _ in range(times)
    ]
    laid = [row for _, row in TimelineWriter(writer, data).rows(questions)]
    order = _cycle(len(laid), max(round(epochs * len(laid)), 1), np.random.default_rng(seed))
    return [laid[k] for k in order.tolist()]


def training_samples(
    writer: PromptWriter,
    data: Interactions,
    rows: np.ndarray,
    rationales: Rationales,
    loss: JointLoss,
    training: Training,
    seed: int,
) -> Sequence[Example | Packed]:
    """Return all samples of a training run over rows and their rationales, in the order of training.

    With `training.history`, samples of both kinds learn the verdicts of their history as well (our choice),
    where the prompt shows all of a history with verdicts behind the items (`Prompt.against_history`).
    """
    if writer.prompt.layout == "timeline":
        known = rationales.only(rows)
        return timeline_samples(writer, data, rows, known, loss, training.epochs, seed)
    reasons = reasoning_examples(writer, data, rationales.only(rows), loss)
    if training.history and not writer.prompt.against_history:
        rows = tiles(data, rows, writer.prompt.history_length, np.random.default_rng(seed))
        shown = with_history(writer, data, recommendation_examples(writer, data, rows, loss), loss)
        weight = sum(map(count_targets, shown)) / max(
            len(shown), 1
        )  # a rationale weighs as much as a history
        reasons = [replace(each, bce=weight * each.bce, ce=weight * each.ce) for each in reasons]
        reasons = with_history(writer, data, reasons, loss)
    else:
        shown = recommendation_examples(writer, data, rows, loss)

    def laid(step: int, bucketed: bool) -> list[Example]:
        return mixture(shown, reasons, loss.reasoning_share, training.epochs, step, seed, bucketed)

    size = rows_per_batch(training, laid(1, False))
    return laid(size * training.gradient_accumulation * world_size(), not training.packing)
