"""Stage `summarize`: keywords of every item, out of its own text."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thinkrec.config.sections import Params, Summarize
from thinkrec.errors import DataError
from thinkrec.files import whole
from thinkrec.layout import Layout, require
from thinkrec.teachers.cache import CACHE
from thinkrec.teachers.fields import load_fields
from thinkrec.teachers.protocol import KeywordExtractor

log = logging.getLogger(__name__)
MOST_WITHOUT = 0.1
"""Share of items without a keyword above which the stage warns (our choice)."""
SCHEMA = pa.schema([("item_id", pa.int64()), ("keywords", pa.list_(pa.string())), ("source", pa.string())])


def choose_extractor(layout: Layout, params: Summarize) -> KeywordExtractor:
    """Make the extractor that params.yaml names; an endpoint's answers stay in the work folder."""
    if params.extractor == "tfidf":
        from thinkrec.teachers.tfidf import TfidfExtractor

        return TfidfExtractor(layout.dataset, params.max_keywords, params.max_words)
    from thinkrec.teachers.chat import ChatClient
    from thinkrec.teachers.extractor import EndpointExtractor

    client = ChatClient(params.endpoint, "summarize", layout.work("summarize") / CACHE)
    return EndpointExtractor(client, layout.dataset, params.max_keywords, params.max_words)


def summarize(layout: Layout, params: Summarize) -> dict[str, Any]:
    """Write keywords.parquet, a row for every item of items.parquet, cold ones too.

    Returns:
        Facts for the run record: counts of items, of those without a keyword, of distinct keywords; warnings.

    Raises:
        MissingInputError: `prep` was not run.
        DataError: there is no item.
        TeacherError: the endpoint failed for good, or none of its first answers names a keyword; its answers
            so far are kept for the next run.
    """
    require(layout, "items")
    ids, fields = load_fields(layout.items)
    if not ids:
        raise DataError(f"{layout.items} holds no item: check the raw files, then run prep again")
    extractor = choose_extractor(layout, params)
    keywords = extractor.extract(fields)
    columns = {"item_id": ids, "keywords": keywords, "source": [extractor.name] * len(ids)}
    with whole(layout.keywords) as beside:
        pq.write_table(pa.table(columns, schema=SCHEMA), beside)
    without = sum(not words for words in keywords)
    warnings = []
    if without > MOST_WITHOUT * len(ids):
        warnings.append(
            f"{without} of {len(ids)} items have no keyword from {extractor.name}: the language model reads "
            "the title alone there"
        )
        log.warning(warnings[0])
    return {
        "extractor": extractor.name,
        "items": len(ids),
        "without_keywords": without,
        "distinct_keywords": len({word for words in keywords for word in words}),
        "mean_keywords": round(sum(map(len, keywords)) / len(ids), 3),
        "warnings": warnings,
    }


def run(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the stage `summarize`."""
    return summarize(layout, params.summarize)
