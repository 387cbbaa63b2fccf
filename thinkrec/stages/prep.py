"""Stage `prep`: raw files to interactions, items, users, splits, graph."""

from __future__ import annotations

from typing import Any

from thinkrec.config.load import dataset_source
from thinkrec.config.sections import Params
from thinkrec.layout import Layout


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `prep`."""
    from thinkrec.data.prepare import prepare

    return prepare(layout, dataset_source(params, layout.dataset), params.prep)
