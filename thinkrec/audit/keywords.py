"""Keywords, extracted again from items.parquet alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from thinkrec.audit.check import Check, fault, judged, skipped
from thinkrec.audit.teachers import CachedClient, UnansweredError
from thinkrec.config.sections import Summarize
from thinkrec.layout import Layout
from thinkrec.teachers.cache import CACHE
from thinkrec.teachers.extractor import EndpointExtractor
from thinkrec.teachers.fields import load_fields
from thinkrec.teachers.protocol import KeywordExtractor
from thinkrec.teachers.tfidf import TfidfExtractor

_NAME, _CLAIM = "keywords", "made of the items' own texts alone"


def check_keywords(layout: Layout, params: Summarize) -> list[Check]:
    """Extract all keywords again and compare; those of an endpoint from its cached answers.

    Args:
        layout: paths of items, keywords and cached answers.
        params: the section of the stage `summarize`.
    """
    table = pq.read_table(layout.keywords).to_pydict()
    keywords = dict(zip(table["item_id"], table["keywords"], strict=True))
    sources = sorted(set(table["source"]))
    own = sources == [TfidfExtractor.name]
    cache = layout.work("summarize") / CACHE
    if not own and not cache.exists():
        why = (
            f"keywords of {', '.join(sources)} can't be extracted again without the "
            f"endpoint's answers ({cache}); its questions hold an item's texts and nothing else"
        )
        return [skipped(_NAME, _CLAIM, why)]
    ids, fields = load_fields(layout.items)
    try:
        again = _extractor(layout, params, own, cache).extract(fields)
    except UnansweredError as error:
        return [skipped(_NAME, _CLAIM, f"not all can be extracted again: {error}")]
    wrong = [item for item, words in zip(ids, again, strict=True) if list(keywords.get(item) or []) != words]
    faults = fault(
        len(wrong), "items have other keywords than their texts give", f"item {next(iter(wrong), '')}"
    )
    faults += fault(len(set(keywords) - set(ids)), "items have keywords and are not in items.parquet")
    advice = "run `thinkrec summarize` again, if params.yaml or the items' texts have changed since"
    summary = f"{len(ids):,} items, extracted again by {', '.join(sources)}: all equal"
    return [judged(_NAME, _CLAIM, faults and [*faults, advice], summary, items=len(ids))]


def _extractor(layout: Layout, params: Summarize, own: bool, cache: Path) -> KeywordExtractor:
    if own:
        return TfidfExtractor(layout.dataset, params.max_keywords, params.max_words)
    return EndpointExtractor(
        CachedClient(params.endpoint, cache), layout.dataset, params.max_keywords, params.max_words
    )
