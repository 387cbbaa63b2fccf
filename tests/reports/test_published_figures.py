"""Published figures are the sources' own, and each says where it is from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinkrec.config.sources import BookSource, CustomSource, DemoSource, Ml1mSource, Source, YelpSource
from thinkrec.errors import ConfigError
from thinkrec.metrics.breakdown import MEANING
from thinkrec.metrics.predictions import SLICES
from thinkrec.metrics.ranking import METRICS
from thinkrec.protocols import PROTOCOLS
from thinkrec.reports.published import figures_of
from thinkrec.reports.published_figures import FIGURES, POPULATIONS

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "spec" / "paper_tables.json"


def printed(dataset: str, method: str, source: str) -> dict[str, float]:
    (found,) = (
        each
        for each in FIGURES
        if (each.dataset, each.method) == (dataset, method) and each.source.startswith(source)
    )
    return dict(found.values)


def test_every_figure_has_a_source_a_protocol_and_a_population() -> None:
    assert {each.dataset for each in FIGURES} == {"ml1m", "yelp", "book"}
    for each in FIGURES:
        assert each.source and each.backbone and each.method
        assert each.protocol in PROTOCOLS and each.population in POPULATIONS
        assert each.values and set(each.values) <= set(METRICS)
        assert all(0 < value < 1 for value in each.values.values())
    for part in POPULATIONS:
        assert part in SLICES or part.removeprefix("test/") in MEANING


def test_some_figures_by_hand() -> None:
    assert printed("ml1m", "ThinkRec", "ThinkRec, Table 2") == {
        "auc": 0.7764,
        "uauc": 0.6775,
        "ndcg@5": 0.7747,
        "map@5": 0.4774,
    }
    assert printed("yelp", "SASRec", "ThinkRec, Table 2")["ndcg@5"] == 0.8564
    assert printed("book", "ThinkRec-no-both", "ThinkRec, Table 4")["map@5"] == 0.2613
    assert printed("book", "ThinkRec, ML1M only", "ThinkRec, Table 6") == {"auc": 0.8001, "ndcg@5": 0.6197}
    assert printed("ml1m", "ARROW", "ARROW") == {"auc": 0.7577, "uauc": 0.7146}
    assert printed("ml1m", "SAILRec", "SAILRec") == {"auc": 0.7571}


def test_only_sella_rec_leaves_users_out() -> None:
    (other,) = (each for each in FIGURES if each.population != "test")
    assert (other.method, other.population) == ("SeLLa-Rec", "test/history_2+")
    assert other.values == {"auc": 0.7606, "uauc": 0.7464}
    assert "users of fewer than two interactions" in other.differs


@pytest.mark.skipif(not TABLES.exists(), reason="the paper's tables are not in ../shared/spec")
def test_figures_are_those_of_the_papers_tables() -> None:
    paper = json.loads(TABLES.read_text())
    two, four = paper["table2_accuracy"], paper["table4_ablation"]
    names = {"without_think": "no-think", "without_experts": "no-experts", "without_both": "no-both"}
    expected = 0
    for dataset in ("ml1m", "yelp", "book"):
        for method, values in two[dataset].items():
            found = printed(dataset, method, "ThinkRec, Table 2")
            assert found == dict(zip(two["columns"], values, strict=True))
            expected += 1
        for key, name in names.items():
            found = printed(dataset, f"ThinkRec-{name}", "ThinkRec, Table 4")
            assert found == dict(zip(four["columns"], four[dataset][key], strict=True))
            expected += 1
        six = paper["table6_cross_domain_global_expert"]
        rows = {"ThinkRec-global": dataset, "ThinkRec, ML1M only": f"ml1m_to_{dataset}"}
        for method, key in rows.items():
            if key in six:
                named = dict(zip(six["rows"], six[key], strict=True))
                found = printed(dataset, method, "ThinkRec, Table 6")
                assert found == {name: named[name] for name in ("auc", "ndcg@5")}
                expected += 1
    assert sum(each.source.startswith("ThinkRec") for each in FIGURES) == expected


def test_the_reader_decides_not_the_name() -> None:
    assert {each.dataset for each in figures_of(Ml1mSource(reader="ml1m"), "films")} == {"ml1m"}
    assert {each.dataset for each in figures_of(YelpSource(reader="yelp"), "ml1m")} == {"yelp"}
    books = figures_of(BookSource(reader="book"), "b", "rolling")
    assert {each.dataset for each in books} == {"book"}


@pytest.mark.parametrize(
    "source",
    [
        DemoSource(reader="demo"),
        CustomSource(reader="custom", raw="x"),
        BookSource(reader="book", category="Gift_Cards"),
    ],
    ids=["demo", "custom", "gift cards"],
)
def test_nothing_is_known_of_other_data(source: Source) -> None:
    with pytest.raises(ConfigError) as error:
        figures_of(source, "own")
    assert str(error.value) == (
        "no published figures of own are known: they are of the readers ml1m, yelp, book (book: the category "
        "Books)"
    )
