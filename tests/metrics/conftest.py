"""A small data set whose items and users differ in how they are liked."""

import numpy as np
import pytest

from thinkrec.data.tables import Interactions


@pytest.fixture
def data() -> Interactions:
    return make_data()


def make_data(users: int = 60, rows: int = 1800, seed: int = 2) -> Interactions:
    rng = np.random.default_rng(seed)
    user, item = np.sort(rng.integers(1, users + 1, rows)), rng.integers(1, 41, rows)
    taste = rng.normal(size=users + 1)[user] + rng.normal(size=41)[item]
    label = (rng.random(rows) < 1 / (1 + np.exp(-taste))).astype(np.int64)
    counts = np.bincount(user)
    position = np.concatenate([np.arange(n) for n in counts if n])
    share = position / counts[user]
    split = np.select([share < 0.6, share < 0.8], [0, 1], 2).astype(np.int8)
    # Item 40 and user 1 never occur in train, so that some rows are cold.
    split[((item == 40) | (user == 1)) & (split == 0)] = 1
    warm = np.isin(user, user[split == 0]) & np.isin(item, item[split == 0])
    return Interactions(user, item, label, 1000 + position * 60, position, split, warm)
