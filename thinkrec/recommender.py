"""The public object: a trained system that answers for one user, by raw ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from thinkrec.config.load import dataset_source, load_params
from thinkrec.errors import ModelError, RequestError
from thinkrec.layout import Layout
from thinkrec.systems.answers import Explanation, Influence, Mixture, Question, Scores, Verdicts
from thinkrec.systems.candidates import Candidates, History
from thinkrec.systems.ids import Ids
from thinkrec.systems.project import Project
from thinkrec.systems.questions import Reader
from thinkrec.systems.registry import SYSTEMS, entry, needs_of

if TYPE_CHECKING:
    from thinkrec.config.sections import Params
    from thinkrec.systems.language import LanguageModel

EXPLAINED = 50
"""Latest interactions left out one by one where scores change with all of them (our choice)."""


def load(root: str | Path = ".", *, dataset: str, system: str = "thinkrec") -> Recommender:
    """Load a trained system, checked against its manifests and proven to use all of its parts.

    Args:
        root: the project's root, the folder that holds params.yaml.
        dataset: name of the data set.
        system: one of `thinkrec.systems.registry.SYSTEMS`.

    Raises:
        ConfigError: params.yaml is wrong, or there is no such data set or system.
        MissingInputError: a part was not made yet; names the command that makes it.
        DataError: prepared data are damaged, stale, or of another version or data set.
        ModelError: the same of a model, or a part changes no score.
    """
    from thinkrec.artifacts.check import check
    from thinkrec.artifacts.lock import finish_pending
    from thinkrec.pipeline import STAGES

    layout, params = Layout(dataset, Path(root)), load_params(Path(root) / "params.yaml")
    dataset_source(params, dataset)
    entry(system)
    wanted = ["interactions", "items", "users", *needs_of(params, [system])]
    finish_pending(layout)
    check(layout, wanted, params, STAGES["evaluate"].params)
    return Recommender(layout, params, system)


class Recommender:
    """A trained system. Made by `thinkrec.load`; safe to be called from several threads.

    Calls are answered one after another, so that each answer is that of a single caller, bit for bit.

    Args:
        layout: where the artifacts lie.
        params: with which they were made.
        system: name of the system.
    """

    def __init__(self, layout: Layout, params: Params, system: str) -> None:
        """Load every part."""
        self.dataset, self.name = layout.dataset, system
        self._project = Project(layout, params)
        self._lock = RLock()
        self._system = self._project.system(system)
        self._system.prepare()
        self._reader = Reader(self._project, system, self._lock)

    @property
    def items(self) -> Ids:
        """Raw ids of all items."""
        return self._reader.items

    @property
    def users(self) -> Ids:
        """Raw ids of all users."""
        return self._reader.users

    def title(self, item: str) -> str:
        """Look up an item's title.

        Raises:
            RequestError: the data set has no such item.
        """
        return self._project.items.title[self.items.number(item)]

    def find(self, query: str, k: int = 10) -> tuple[tuple[str, str], ...]:
        """Find items by words of their titles, as somebody types them.

        Args:
            query: beginnings of words; empty for the best known items.
            k: how many at most.

        Returns:
            Raw id and title of each, those that begin like the query first, then the best known.
        """
        numbers = self._reader.titles.find(query, k)
        return tuple((self._reader.raw(number), self._project.items.title[number]) for number in numbers)

    def item(self, name: str) -> str:
        """Return the raw id of an item by its raw id or its title; what is both is the id.

        Raises:
            RequestError: there is no such item, or several have the title; gives near ids and titles.
        """
        return self._reader.raw(self._reader.item(name))

    def history(self, user: str) -> tuple[tuple[str, bool], ...]:
        """Return all interactions of a user of the data set, oldest first: raw item id, liked or not.

        Raises:
            RequestError: the data set has no such user.
        """
        past = self._reader.past(self.users.number(user))
        return tuple(
            zip(map(self._reader.raw, past.items.tolist()), (past.labels == 1).tolist(), strict=True)
        )

    def score(self, user: str, items: Sequence[str]) -> Scores:
        """Score items for a user of the data set, after everything that the data set knows of the user.

        Args:
            user: raw id.
            items: raw ids, each once, none that the user has interacted with.

        Raises:
            RequestError: an id is unknown, or an item comes twice or lies in the history.
        """
        return self._one(Question(user, items=items))

    def score_history(self, history: Verdicts, items: Sequence[str]) -> Scores:
        """Score items for somebody who is in no data set.

        Args:
            history: raw item id and whether it was liked, oldest first.
            items: as of `score`.

        Raises:
            RequestError: an item is unknown or comes twice, or lies in the history.
        """
        return self._one(Question(history=history, items=items))

    def recommend(
        self, user: str, k: int = 10, candidates: str | Sequence[str] | None = None, why: bool = False
    ) -> Scores:
        """Rank items that a user of the data set has not interacted with, best first.

        Args:
            user: raw id.
            k: how many; fewer where there are no more candidates.
            candidates: raw ids, of which those in the history are left out; or `lightgcn:200`, the 200 best
                of that encoder; None takes all items, or for a language model the best of an encoder.
            why: generate a reason for each of them, without sampling; only a language model can.

        Raises:
            RequestError: an id is unknown, `k` is less than 1, or nothing is left.
            MissingInputError: the encoder was not trained.
        """
        return self._one(Question(user, None, candidates, _count(k), why))

    def recommend_history(
        self,
        history: Verdicts,
        k: int = 10,
        candidates: str | Sequence[str] | None = None,
        why: bool = False,
    ) -> Scores:
        """Rank items for somebody who is in no data set; arguments as of `score_history` and `recommend`."""
        return self._one(Question(None, history, candidates, _count(k), why))

    def check(self, question: Question) -> None:
        """Check that a question can be answered, as far as that can be said without scoring.

        Raises:
            RequestError: it can't.
            MissingInputError: an encoder was not trained.
        """
        self._reader.read(question)

    def answer(self, questions: Sequence[Question]) -> list[Scores | RequestError]:
        """Answer many questions, of several users, by one batch.

        Each answer is that of its question alone, up to rounding: batches are padded differently.

        Returns:
            For each question its answer, or why it can't be answered.

        Raises:
            MissingInputError: an encoder was not trained.
        """
        asked: dict[int, tuple[History, np.ndarray]] = {}
        answers: dict[int, Scores | RequestError] = {}
        for place, question in enumerate(questions):
            try:
                asked[place] = self._reader.read(question)
            except RequestError as error:
                answers[place] = error
        if asked:
            found = self._scored([questions[place] for place in asked], *zip(*asked.values(), strict=True))
            answers |= dict(zip(asked, found, strict=True))
        return [answers[place] for place in range(len(questions))]

    def explain(self, user: str, item: str) -> Explanation:
        """Score one item for a user of the data set, say why, and what of the history moved the score.

        Interactions are left out one by one, older ones do not move up, and all are scored together. The
        reason is generated without sampling.

        Raises:
            RequestError: an id is unknown, or the item lies in the user's history.
        """
        return self._explained(Question(user, items=[item]))

    def explain_history(self, history: Verdicts, item: str) -> Explanation:
        """Explain an item to somebody who is in no data set; arguments as of `score_history`."""
        return self._explained(Question(history=history, items=[item]))

    def _one(self, question: Question) -> Scores:
        (answer,) = self.answer([question])
        if isinstance(answer, RequestError):
            raise answer
        return answer

    def _scored(
        self, questions: Sequence[Question], histories: Sequence[History], items: Sequence[np.ndarray]
    ) -> list[Scores]:
        """Score, rank and explain the items of several questions together."""
        with self._lock:
            scores = self._system.score(Candidates.of_histories(histories, items))
            parts = np.split(scores, np.cumsum([len(each) for each in items])[:-1])
            order = [
                np.arange(len(part)) if question.k is None else np.argsort(-part, kind="stable")[: question.k]
                for question, part in zip(questions, parts, strict=True)
            ]
            shown = [each[best] for each, best in zip(items, order, strict=True)]
            parts = [part[best] for part, best in zip(parts, order, strict=True)]
            mixtures = self._mixtures(histories, shown)
            wanted = [place for place, question in enumerate(questions) if question.why]
            reasons = self._reasons(
                [histories[place] for place in wanted],
                [shown[place] for place in wanted],
                [parts[place] for place in wanted],
            )
        told = dict(zip(wanted, reasons, strict=True))
        return [
            Scores(
                self.name,
                self.dataset,
                None if question.user is None else self.users.name(question.user),
                self._system.about_user(known=question.user is not None),
                tuple(map(self._reader.raw, shown[place].tolist())),
                tuple(self._project.items.title[item] for item in shown[place].tolist()),
                parts[place],
                mixtures[place],
                told.get(place),
            )
            for place, question in enumerate(questions)
        ]

    def _mixtures(self, histories: Sequence[History], items: Sequence[np.ndarray]) -> list[Mixture | None]:
        """The gate's decision for each history, with items asked about after it."""
        if SYSTEMS[self.name].kind != "language model":
            return [None] * len(histories)
        one_each = Candidates.of_histories(histories, [each[:1] for each in items])
        weights = self._language.mixtures(one_each)
        if weights is None:
            return [None] * len(histories)
        return [Mixture(tuple(row)) for row in weights.tolist()]

    def _reasons(
        self, histories: Sequence[History], items: Sequence[np.ndarray], scores: Sequence[np.ndarray]
    ) -> list[tuple[str, ...]]:
        """The language model's reasons for its scores of items after each history, its likeliest words."""
        if not histories:
            return []
        options = self._project.params.evaluate.model_copy(update={"temperature": 0.0})
        asked = Candidates.of_histories(histories, items)
        texts = iter(self._language.reasons(asked, np.concatenate(list(scores)), options, 0))
        return [tuple(next(texts) for _ in each) for each in items]

    @property
    def _language(self) -> LanguageModel:
        from thinkrec.systems.language import LanguageModel

        if not isinstance(self._system, LanguageModel):
            raise ModelError(f"{self.name} has no words")
        return self._system

    def _explained(self, question: Question) -> Explanation:
        history, items = self._reader.read(question)
        length = self._system.history_length
        shown = history.latest(EXPLAINED if length is None else length)
        with self._lock:
            told = replace(question, why=SYSTEMS[self.name].reasons)
            (answer,) = self._scored([told], [history], [items])
            moved = self._moved(history, shown, items)
        influences = tuple(
            Influence(
                self._reader.raw(shown.items[k]),
                self._project.items.title[shown.items[k]],
                bool(shown.labels[k]),
                float(moved[k]),
            )
            for k in np.argsort(-np.abs(moved), kind="stable")
        )
        return Explanation(
            self.name,
            self.dataset,
            answer.user,
            answer.basis,
            answer.items[0],
            answer.titles[0],
            float(answer.scores[0]),
            None if answer.reasons is None else answer.reasons[0],
            influences,
            answer.mixture,
        )

    def _moved(self, history: History, shown: History, items: np.ndarray) -> np.ndarray:
        """Score less the score without each of the latest interactions, [h] float64."""
        if not len(shown):
            return np.empty(0)
        whole = history if self._system.history_length is None else shown
        first = len(whole) - len(shown)
        without = [whole.without(first + k) for k in range(len(shown))]
        asked = Candidates.of_histories([whole, *without], [items] * (len(without) + 1))
        scores = self._system.score(asked).astype(np.float64)
        return scores[0] - scores[1:]


def _count(k: int) -> int:
    """Check how many items are asked for.

    Raises:
        RequestError: it is no whole number.
    """
    if not isinstance(k, int | np.integer):
        raise RequestError(f"k is {k!r}: ask for a whole number of items, at least 1")
    return int(k)
