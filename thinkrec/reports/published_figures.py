"""Published figures of other recommenders on the paper's data sets: facts, each with its source.

Tables 2, 4 and 6 of the ThinkRec paper, as printed, and figures of other papers on the same rows of
MovieLens-1M. Left out: Table 5 (users who arrive later, which are no population of ours), and figures of
reasons, whose references differ. No source gives an interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from thinkrec.protocols import Protocol

POPULATIONS = ("test", "test/warm", "test/history_2+")
"""Slices of the test rows that others report: all rows, CoLLM's `not_cold`, SeLLa-Rec's users."""


@dataclass(frozen=True)
class PublishedFigure:
    """A published row.

    Args:
        dataset: the `reader` of its data set: ml1m, yelp or book.
        method: what was measured.
        values: metric -> value as printed; those that were not printed are left out.
        backbone: its language model, or what is known of it.
        source: paper and table, as far as known.
        differs: what differs from our setting, besides the backbone; empty: nothing is known to.
        population: its test rows, of POPULATIONS.
        protocol: what its histories hold.
    """

    dataset: str
    method: str
    values: Mapping[str, float]
    backbone: str
    source: str
    differs: str = ""
    population: str = "test"
    protocol: Protocol = "rolling"


_NO_MODEL, _LLAMA, _7B = "no language model", "Llama3-8B-Instruct", "7B language model"
_PROCESSING = "its own processing of the data"
_WITHOUT_MODEL = ("MF", "LightGCN", "SASRec", "gSASRec")

_TABLE_2: dict[str, dict[str, tuple[float, ...]]] = {
    "ml1m": {
        "MF": (0.6401, 0.6079, 0.7286, 0.4520),
        "LightGCN": (0.6140, 0.6230, 0.7333, 0.4600),
        "SASRec": (0.6956, 0.6687, 0.7663, 0.4747),
        "gSASRec": (0.7043, 0.6690, 0.7650, 0.4693),
        "Prompt4NR": (0.6936, 0.6433, 0.7665, 0.4652),
        "TALLRec": (0.6872, 0.6553, 0.7683, 0.4706),
        "CoLLM": (0.7141, 0.6672, 0.7585, 0.4647),
        "ThinkRec": (0.7764, 0.6775, 0.7747, 0.4774),
    },
    "yelp": {
        "MF": (0.5838, 0.5389, 0.8120, 0.2552),
        "LightGCN": (0.5360, 0.5179, 0.8076, 0.2520),
        "SASRec": (0.6184, 0.6096, 0.8564, 0.2785),
        "gSASRec": (0.6200, 0.6051, 0.8586, 0.2792),
        "Prompt4NR": (0.6272, 0.6034, 0.8348, 0.2705),
        "TALLRec": (0.5334, 0.5206, 0.7988, 0.2538),
        "CoLLM": (0.6373, 0.5961, 0.8420, 0.2734),
        "ThinkRec": (0.6955, 0.6065, 0.8585, 0.2826),
    },
    "book": {
        "MF": (0.6592, 0.5527, 0.6805, 0.2887),
        "LightGCN": (0.5622, 0.4985, 0.6406, 0.2598),
        "SASRec": (0.5411, 0.5197, 0.6550, 0.2701),
        "gSASRec": (0.6187, 0.5546, 0.6858, 0.2964),
        "Prompt4NR": (0.6764, 0.5699, 0.7023, 0.3048),
        "TALLRec": (0.6632, 0.5568, 0.7023, 0.3049),
        "CoLLM": (0.7830, 0.5672, 0.6917, 0.2968),
        "ThinkRec": (0.8302, 0.5705, 0.6858, 0.2977),
    },
}
"""AUC, UAUC, NDCG@5, MAP@5."""

_TABLE_4: dict[str, dict[str, tuple[float, ...]]] = {
    "ml1m": {
        "ThinkRec-no-think": (0.6599, 0.7570, 0.4623),
        "ThinkRec-no-experts": (0.6765, 0.7740, 0.4742),
        "ThinkRec-no-both": (0.6658, 0.7643, 0.4674),
    },
    "yelp": {
        "ThinkRec-no-think": (0.5865, 0.8402, 0.2702),
        "ThinkRec-no-experts": (0.5999, 0.8562, 0.2791),
        "ThinkRec-no-both": (0.5904, 0.8429, 0.2736),
    },
    "book": {
        "ThinkRec-no-think": (0.4692, 0.6284, 0.2548),
        "ThinkRec-no-experts": (0.5631, 0.6801, 0.2939),
        "ThinkRec-no-both": (0.5017, 0.6381, 0.2613),
    },
}
"""UAUC, NDCG@5, MAP@5; names as our variants'. The whole method stands in Table 2."""

_TABLE_6: dict[str, dict[str, tuple[float, ...]]] = {
    "ml1m": {"ThinkRec-global": (0.7843, 0.7740)},
    "yelp": {"ThinkRec-global": (0.7104, 0.8562), "ThinkRec, ML1M only": (0.6709, 0.7717)},
    "book": {"ThinkRec-global": (0.8369, 0.6801), "ThinkRec, ML1M only": (0.8001, 0.6197)},
}
"""AUC, NDCG@5 of the global LoRA alone; also of MovieLens-1M's on the other data sets."""
_CROSS = f"trained on MovieLens-1M alone; {_PROCESSING}"

_OTHERS: tuple[tuple[str, tuple[float, ...], str], ...] = (
    ("CoLLM", (0.7418, 0.6906), "CoLLM, arXiv:2310.19488, table not recorded"),
    ("CoLLM", (0.7235, 0.6990), "CoLLM, arXiv:2310.19488, table not recorded"),
    ("BinLLM", (0.7425, 0.6956), "BinLLM, arXiv:2406.03210, table not recorded"),
    ("CoRA", (0.7361, 0.6884), "CoRA, arXiv:2408.10645, table not recorded"),
    ("GraphLoRA", (0.7472, 0.7102), "GraphLoRA, arXiv:2606.07526, table not recorded"),
    ("SAILRec", (0.7571,), "SAILRec, paper and table not recorded"),
    ("ARROW", (0.7577, 0.7146), "ARROW, paper and table not recorded"),
)
"""Of MovieLens-1M: AUC, UAUC; the method's paper."""

_SELLA_REC = PublishedFigure(
    "ml1m",
    "SeLLa-Rec",
    {"auc": 0.7606, "uauc": 0.7464},
    "language model of a size that is not recorded",
    "SeLLa-Rec, arXiv:2504.10107, table not recorded",
    "it leaves out users of fewer than two interactions, history_2+ rows with fewer than two before them",
    "test/history_2+",
)


def _named(values: tuple[float, ...], *metrics: str) -> dict[str, float]:
    return dict(zip(metrics, values, strict=False))


def _all() -> Iterator[PublishedFigure]:
    for method, values, source in _OTHERS:
        named = _named(values, "auc", "uauc")
        yield PublishedFigure("ml1m", method, named, _7B, source)
    yield _SELLA_REC
    for dataset, table in _TABLE_2.items():
        for method, values in table.items():
            backbone = _NO_MODEL if method in _WITHOUT_MODEL else _LLAMA
            named = _named(values, "auc", "uauc", "ndcg@5", "map@5")
            yield PublishedFigure(dataset, method, named, backbone, "ThinkRec, Table 2", _PROCESSING)
        for method, values in _TABLE_4[dataset].items():
            named = _named(values, "uauc", "ndcg@5", "map@5")
            yield PublishedFigure(dataset, method, named, _LLAMA, "ThinkRec, Table 4", _PROCESSING)
        for method, values in _TABLE_6[dataset].items():
            differs = _CROSS if "ML1M" in method else _PROCESSING
            named = _named(values, "auc", "ndcg@5")
            yield PublishedFigure(dataset, method, named, _LLAMA, "ThinkRec, Table 6", differs)


FIGURES = tuple(_all())
"""All published rows, in the order of tables."""
