"""Groups of users, and the mean vector that represents each group's expert."""

from __future__ import annotations

from typing import Any

from thinkrec.config.sections import Cluster
from thinkrec.files import whole, write_json
from thinkrec.layout import Layout, require


def cluster_users(layout: Layout, cluster: Cluster, seed: int) -> dict[str, Any]:
    """Group the users in train by the vectors of one encoder; write the folder `layout.clusters`.

    groups.parquet: user_id, group from 1. means.safetensors: `means` [K, d], the mean raw vectors of the
    groups; columns that are constant over all users (an augmented vector's 1) are set to zero, so that the
    gate ignores them. clusters.json: encoder, method, sizes, cohens_d (null for one group).

    Returns:
        The content of clusters.json.

    Raises:
        MissingInputError: the encoder is not trained yet.
        ModelError: its vectors are not usable.
        ConfigError: there are more groups than users.
    """
    require(layout, f"encoders/{cluster.encoder}")
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save

    from thinkrec.cf.vectors import Arrays
    from thinkrec.experts.groups import cohens_d, group_means, group_users

    vectors = Arrays.load(layout.encoder(cluster.encoder)).user
    users = np.flatnonzero(vectors.any(1))
    known = vectors[users]
    group = group_users(known, cluster.method, cluster.groups, seed)
    means = group_means(known, group)
    means[:, (known == known[:1]).all(0)] = 0
    facts: dict[str, Any] = {
        "encoder": cluster.encoder,
        "method": cluster.method,
        "sizes": np.bincount(group)[1:].tolist(),
        "cohens_d": cohens_d(known, group),
    }
    with whole(layout.clusters) as beside:
        beside.mkdir()
        pq.write_table(pa.table({"user_id": users, "group": group}), beside / "groups.parquet")
        (beside / "means.safetensors").write_bytes(save({"means": means.astype(np.float32)}))
        write_json(beside / "clusters.json", facts)
    return facts
