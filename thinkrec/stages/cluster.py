"""Stage `cluster`: groups of users."""

from __future__ import annotations

from typing import Any

from thinkrec.config.sections import Params
from thinkrec.layout import Layout


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `cluster`."""
    from thinkrec.experts.cluster import cluster_users

    return cluster_users(layout, params.cluster, params.seed)
