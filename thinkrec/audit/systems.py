"""Systems as functions that score rows of any interactions: of those on disk, or of spoiled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from thinkrec.audit.scores import Scorer
from thinkrec.audit.trees import Trees
from thinkrec.audit.vectors import encoders
from thinkrec.cf.folder import score
from thinkrec.config.sections import Params
from thinkrec.data.tables import HistoryMode, Interactions
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout, require
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.systems import SYSTEMS
from thinkrec.stages.assemble import Fusion, load_fusion
from thinkrec.stages.evaluate import score_system

Parts = Callable[[], tuple[Backbone, Fusion]]


def scorers(layout: Layout, params: Params, data: Interactions, systems: Sequence[str]) -> dict[str, Scorer]:
    """Encoders that are there, gbdt where it was scored, the named systems of the language model, by name.

    Raises:
        ConfigError: the language model has no system of a name.
        MissingInputError: a part of a named system is not there.
    """
    for name in systems:
        if name not in SYSTEMS:
            known = ", ".join(SYSTEMS)
            raise ConfigError(f"--systems: the language model has no system {name!r}; there are {known}")
    if systems:
        require(layout, "items", "keywords", "backbone", "global_adapter", "clusters", "experts", "projector")
    found: dict[str, Scorer] = {name: partial(score, layout.encoder(name)) for name in encoders(layout)}
    if layout.prediction("gbdt").exists():
        found["gbdt"] = Trees(data, params, layout.dataset)
    parts = cache(partial(_parts, layout, params))  # loaded once, when it is wanted
    return found | {name: _system(layout, params, name, parts) for name in systems}


def _parts(layout: Layout, params: Params) -> tuple[Backbone, Fusion]:
    return load_backbone(layout.backbone), load_fusion(layout, params.cluster.encoder, params.evaluate.gate)


def _system(layout: Layout, params: Params, name: str, parts: Parts) -> Scorer:
    def scorer(data: Interactions, rows: np.ndarray, mode: HistoryMode) -> np.ndarray:
        prompt = params.prompt.model_copy(update={"history": mode})
        return score_system(layout, params.model_copy(update={"prompt": prompt}), data, rows, parts(), name)

    return scorer
