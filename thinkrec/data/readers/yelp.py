"""Yelp's open data set: businesses and reviews as JSON lines."""

from __future__ import annotations

from thinkrec.config.sources import YelpSource
from thinkrec.data.formats import JsonLines
from thinkrec.data.readers.base import Kind, RawFile, Reader

_ADVICE = "unpack Yelp's open data set there (https://business.yelp.com/data/resources/open-dataset/)"


def _json(kind: Kind, name: str, *columns: str) -> RawFile:
    name = f"yelp_academic_dataset_{name}.json"
    return RawFile(kind, (name, f"{name}.gz"), JsonLines(columns), f"yelp_{kind}", advice=_ADVICE)


def yelp(source: YelpSource) -> Reader:
    """Build the reader. Reviews of unlisted businesses are left out."""
    files = (
        _json("items", "business", "business_id", "name", "categories", "attributes", "address", "city"),
        _json("ratings", "review", "user_id", "business_id", "stars", "date"),
    )
    return Reader(files, 1, 5, source.positive_above, frozenset({"duplicate"}))
