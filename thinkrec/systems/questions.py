"""Reading of questions: raw ids become numbers, users and handed-in verdicts become histories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from threading import RLock

import numpy as np

from thinkrec.data.moments import SECOND
from thinkrec.data.tables import SPLITS, load_user_ids
from thinkrec.errors import RequestError
from thinkrec.layout import require
from thinkrec.systems.answers import Question, Verdicts
from thinkrec.systems.candidates import NOBODY, Candidates, History
from thinkrec.systems.ids import Ids
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System
from thinkrec.systems.shortlist import RETRIEVED, read_shortlist
from thinkrec.systems.titles import Titles


class Reader:
    """Reads questions to a system.

    Args:
        project: the data set and its encoders.
        system: name of the system that is asked.
        lock: held while an encoder scores.
    """

    def __init__(self, project: Project, system: str, lock: RLock) -> None:
        """Keep the project."""
        self._project, self._name, self._lock = project, system, lock
        self._encoders: dict[str, System] = {}
        self.past = lru_cache(maxsize=1024)(self._past)

    @cached_property
    def items(self) -> Ids:
        """Raw ids of all items."""
        return Ids(self._project.items.raw_id, "item")

    @cached_property
    def users(self) -> Ids:
        """Raw ids of all users."""
        return Ids(load_user_ids(self._project.layout.users), "user")

    @cached_property
    def titles(self) -> Titles:
        """Titles of all items, the best known first where several fit."""
        data, titles = self._project.data, self._project.items.title
        return Titles(titles, np.bincount(data.item_id, minlength=len(titles)))

    def raw(self, number: int) -> str:
        """Return the raw id of an item's number."""
        return self._project.items.raw_id[int(number)]

    def item(self, name: str) -> int:
        """Find the number of an item by its id or its title; what is both is the id.

        Raises:
            RequestError: there is no such item, or several have the title; gives near ids and titles.
        """
        number = self.items.find(name)
        return self.titles.number(self.items.text(name), self.items) if number is None else number

    def read(self, question: Question) -> tuple[History, np.ndarray]:
        """Return the history and the numbers of the items of a question.

        Raises:
            RequestError: it can't be answered.
        """
        if (question.user is None) == (question.history is None):
            raise RequestError("a question is about a user or about a history: give one of the two")
        if question.why and not SYSTEMS[self._name].reasons:
            raise RequestError(f"{self._name} gives no reasons: ask without, or ask a language model")
        if question.user is None:
            history, whose = self._given(question.history), "the history"
        else:
            history = self.past(self.users.number(question.user))
            whose = f"the history of user {self.users.name(question.user)!r}"
        if question.k is not None:
            if question.k < 1:
                raise RequestError(f"k is {question.k}: ask for a whole number of items, at least 1")
            items = self._candidates(history, question.items, question.called or "candidates")
            if not len(items):
                raise RequestError(
                    "no candidate is left: all of them are in the history; name others, or none to choose "
                    "from all items"
                )
            return history, items
        items = self._asked(question.items, question.called or "items")
        if (seen := np.isin(items, history.items)).any():
            raise RequestError(
                f"{self.raw(items[seen][0])!r} is in {whose} already; leave it out, or ask with a "
                "history that ends before it"
            )
        return history, items

    def _asked(self, items: Iterable[str] | None, called: str) -> np.ndarray:
        """Numbers of items that are asked about, [n] int64."""
        if isinstance(items, str) or not isinstance(items, Iterable):
            raise RequestError(f"{called}: give a list of raw ids, not {items!r}")
        items = list(items)
        if not items:
            raise RequestError(f"{called}: the list is empty; name at least one item")
        numbers = np.array([self.items.number(item) for item in items], dtype=np.int64)
        if len(twice := _repeated(numbers)):
            raise RequestError(f"{called}: {self.raw(twice[0])!r} comes more than once; name each item once")
        return numbers

    def _past(self, user: int) -> History:
        """All that the data set knows of a user."""
        data = self._project.data
        start, end = np.searchsorted(data.user_id, [user, user + 1])
        rows = slice(int(start), int(end))
        return History(
            user, data.item_id[rows], data.label[rows], data.timestamp[rows], data.split[rows], self._now
        )

    @cached_property
    def _now(self) -> int:
        """A second after the latest interaction of the data set: when everybody is asked."""
        return int(self._project.data.timestamp.max(initial=0)) + SECOND

    def _given(self, history: Verdicts | None) -> History:
        """A history that was handed in; its interactions count as a minute apart, up to now."""
        if not isinstance(history, Iterable) or isinstance(history, str):
            raise RequestError(f"history: give a list of pairs (raw item id, liked or not), not {history!r}")
        pairs = list(history.items() if isinstance(history, Mapping) else history)
        for pair in pairs:
            pair_of_two = isinstance(pair, tuple | list) and len(pair) == 2
            if not (pair_of_two and isinstance(pair[1], bool | np.bool_)):
                raise RequestError(
                    f"history: {pair!r} is not a pair of a raw item id and True (liked) or False"
                )
        numbers = np.array([self.items.number(item) for item, _ in pairs], dtype=np.int64)
        if len(twice := _repeated(numbers)):
            raise RequestError(
                f"{self.raw(twice[0])!r} comes more than once in the history; keep the latest verdict"
            )
        labels = np.array([liked for _, liked in pairs], dtype=np.int64)
        ago = 60 * SECOND * np.arange(len(pairs), 0, -1, dtype=np.int64)
        split = np.full(len(pairs), SPLITS.index("valid"), dtype=np.int8)
        return History(NOBODY, numbers, labels, self._now - ago, split, self._now)

    def _candidates(
        self, history: History, candidates: str | Sequence[str] | None, called: str
    ) -> np.ndarray:
        """Numbers of items to be ranked, none of the history's, [n] int64."""
        if candidates is not None and not isinstance(candidates, str):
            numbers = self._asked(candidates, called)
            return numbers[~np.isin(numbers, history.items)]
        every = np.setdiff1d(np.arange(1, len(self._project.items.title)), history.items)
        if candidates is None:
            if SYSTEMS[self._name].kind != "language model":
                return every
            candidates = f"{self._project.params.cluster.encoder}:{RETRIEVED}"
        name, count = read_shortlist(candidates, called, RETRIEVED)
        with self._lock:
            scores = self._encoder(name).score(Candidates.of_histories([history], [every]))
        best = np.argsort(-scores, kind="stable")[:count]
        return every[best]

    def _encoder(self, name: str) -> System:
        if name not in self._encoders:
            require(self._project.layout, f"encoders/{name}")
            self._encoders[name] = self._project.system(name)
        return self._encoders[name]


def _repeated(numbers: np.ndarray) -> np.ndarray:
    """Numbers that come more than once."""
    distinct, count = np.unique(numbers, return_counts=True)
    return distinct[count > 1]
