"""Five users and six films, made by hand, so that every tool's answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinkrec.agent.cases import Case
from thinkrec.agent.environment import Environment
from thinkrec.agent.knowledge import Edges, Graph, Knowledge
from thinkrec.config.agent import Agent
from thinkrec.data.moments import DAY
from thinkrec.data.tables import Interactions, Items

Row = tuple[int, int, int, int]
MOMENT = 100 * DAY
TITLES = ["", "Alien", "Brazil", "Casablanca", "Dune", "Eraserhead", "Fargo"]
NAMES = ["director: Lynch", "genre: Drama", "genre: Horror", "genre: SciFi"]
ATTRIBUTES = [[], [2, 3], [3], [1], [0, 3], [0, 2], []]
RELATED = [[], [], [], [], [1, 2], [], [3]]
ROWS = [
    (1, 1, 1, 10), (1, 2, 0, 20), (1, 3, 1, 30), (1, 4, 1, 100),
    (2, 1, 1, 5), (2, 4, 1, 50), (2, 6, 0, 60),
    (3, 2, 1, 15), (3, 4, 0, 80), (3, 5, 1, 90),
    (4, 3, 0, 95), (4, 6, 1, 100), (4, 4, 1, 101),
    (5, 5, 1, 100), (5, 5, 0, 102),
]  # fmt: skip
"""User, item, label, day; train ends on day 60, valid on day 95."""
VECTORS = np.array([[0, 0], [2, 0], [1, 0], [3, 4], [-1, 0], [0, 0]], dtype=np.float32)


def interactions(rows: Sequence[Row], train: int = 60, valid: int = 95) -> Interactions:
    """Rows of user, item, label and day, sorted by user and day; until day `train` they are train's."""
    user, item, label, day = np.array(sorted(rows, key=lambda row: (row[0], row[3]))).T
    start = np.searchsorted(user, user)
    split = ((day > train).astype(np.int8) + (day > valid)).astype(np.int8)
    return Interactions(
        user, item, label, day * DAY, np.arange(len(user)) - start, split, np.ones(len(user), bool)
    )


def edges(lists: Sequence[Sequence[int]]) -> Edges:
    """Lists by item, row 0 being padding."""
    starts = np.concatenate([[0], np.cumsum([len(each) for each in lists])])
    return Edges(starts, np.array([value for each in lists for value in each], dtype=np.int64))


def knowing(
    rows: Sequence[Row] = ROWS, titles: Sequence[str] = TITLES, names: Sequence[str] = NAMES
) -> Knowledge:
    """Knowledge of these rows and films."""
    items = Items(list(titles), [[] for _ in titles])
    about = ["", "", "", "", "", "", 'A salesman,\n a "plan", and snow'][: len(titles)]
    return Knowledge(
        interactions(rows), items, about, Graph(list(names), edges(ATTRIBUTES), edges(RELATED)), VECTORS
    )


def case_at(moment: int = MOMENT, user: int = 1, items: tuple[int, ...] = (5, 4, 6)) -> Case:
    """Eraserhead, Dune and Fargo, as A, B and C; Dune is the held-out one."""
    return Case(0, "test", 3, user, moment, items, 1)


def entered(knowledge: Knowledge, case: Case | None = None, **options: int) -> Environment:
    """An environment in which an episode has begun."""
    environment = Environment(knowledge, Agent.model_validate(options), [])
    environment.reset(case=case or case_at())
    return environment
