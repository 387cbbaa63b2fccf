"""thinkrec: a language model that ranks items and says why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thinkrec.recommender import Recommender

__version__ = "0.1.0"
__all__ = ["load"]


def load(root: str | Path = ".", *, dataset: str, system: str = "thinkrec") -> Recommender:
    """Load a trained system that answers for one user; see `thinkrec.recommender.load`.

    Args:
        root: the project's root, the folder that holds params.yaml.
        dataset: name of the data set.
        system: name of the system, as `evaluate.systems` names it.

    Raises:
        ThinkrecError: something is missing, damaged or stale; says which command makes it.
    """
    from thinkrec import recommender

    return recommender.load(root, dataset=dataset, system=system)
