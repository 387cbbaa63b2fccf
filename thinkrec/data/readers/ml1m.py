"""MovieLens-1M: fields separated by `::`, in Latin-1."""

from __future__ import annotations

from thinkrec.config.sources import Ml1mSource
from thinkrec.data.formats import Lines
from thinkrec.data.readers.base import RawFile, Reader


def ml1m(source: Ml1mSource) -> Reader:
    """Build the reader. users.dat is not read, as the method uses no demographics."""
    files = [
        RawFile("items", ("movies.dat",), Lines("latin-1"), "ml1m_items"),
        RawFile("ratings", ("ratings.dat",), Lines("latin-1"), "ml1m_ratings"),
    ]
    if source.plots:
        advice = "put it there, or set plots: false in params.yaml"
        files.append(
            RawFile("plots", ("movies_extrainfos.dat",), Lines("utf-8"), "ml1m_plots", advice=advice)
        )
    return Reader(tuple(files), 1, 5, source.positive_above)
