"""A map of users: their collaborative vectors in two dimensions, by group."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from thinkrec.cf.vectors import Arrays
from thinkrec.files import read_json
from thinkrec.layout import Layout

MOST = 2000
"""Users on the map; more are sampled."""


def user_map(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Project the user vectors by which users were grouped on their two principal components.

    Returns:
        (points [n, 2], groups [n]) of at most 2,000 users, no user where nobody was grouped.
    """
    path = layout.clusters / "groups.parquet"
    about = layout.clusters / "clusters.json"
    if not path.exists() or not about.exists():
        return np.empty((0, 2)), np.empty(0, dtype=np.int64)
    folder = layout.encoder(read_json(about)["encoder"])
    if not (folder / "vectors.safetensors").exists():
        return np.empty((0, 2)), np.empty(0, dtype=np.int64)
    from sklearn.decomposition import PCA

    table = pq.read_table(path, columns=["user_id", "group"])
    user, group = table["user_id"].to_numpy(), table["group"].to_numpy()
    vectors = Arrays.load(folder).user
    known = np.flatnonzero(user < len(vectors))
    if len(known) > MOST:
        known = np.sort(np.random.default_rng(0).choice(known, MOST, replace=False))
    if len(known) < 2:
        return np.empty((0, 2)), np.empty(0, dtype=np.int64)
    points = PCA(2, svd_solver="full").fit_transform(vectors[user[known]].astype(np.float64))
    return points, group[known]
