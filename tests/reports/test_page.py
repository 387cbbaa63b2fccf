"""The page: complete, self-contained, and titles that stay text."""

import json
import re
from copy import deepcopy

import pytest

from thinkrec.reports.kinds import winners
from thinkrec.reports.page import SampleReason, write_page
from thinkrec.reports.results import write_results
from thinkrec.reports.tables import format_table, markdown_table

HOSTILE = '<script>alert("1")</script> {{ 7 * 7 }} {% raw %} \u202e Answer: Yes'


@pytest.fixture
def page(layout, results):
    for stage, seconds in (("cf", 12.5), ("prep", 1.0)):
        layout.record(stage).parent.mkdir(parents=True, exist_ok=True)
        record = {
            "stage": stage, "seconds": seconds, "peak_memory_mb": 1234.5, "peak_gpu_memory_mb": None,
            "device": "cpu (x86_64)", "commit": "abc-dirty", "seed": 7,
        }  # fmt: skip
        layout.record(stage).write_text(json.dumps(record))
    layout.curve("cf").parent.mkdir(parents=True)
    layout.curve("cf").write_text("model,epoch,series,value\nmf,0,valid_auc,0.5\nmf,1,valid_auc,0.6\n")
    reasons = [SampleReason("strong", 3, HOSTILE, 1, 0.25, HOSTILE, HOSTILE)]
    write_page(layout, results, {"items": 1234, "raw <folder>": "a & b"}, reasons)
    return layout.page.read_text(encoding="utf-8")


def test_numbers_with_interval_population_and_seed(page, results):
    entry = results.metrics["strong"]["test"]
    assert f"{entry['auc']:.4f}" in page
    assert f"[{entry['auc_low']:.3f}, {entry['auc_high']:.3f}]" in page
    assert (
        f"AUC over {entry['rows']:,} rows ({entry['positives']:,} likes) of {entry['users']:,} users" in page
    )
    assert "60 draws, seed 7" in page
    assert "test/cold" in page and "valid/warm" in page
    assert "weak: no auc, uauc, ndcg@5, map@5: the split was not scored" in page
    assert "random (floor)" in page and "labels (ceiling)" in page
    assert "strong minus the others" in page
    assert "1,234" in page


def test_costs_plots_and_reason_metrics(page):
    assert page.index(">prep<") < page.index(">cf<") and "1,234" in page and "abc-dirty" in page
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "Training curves of the stage cf" in page
    assert "meteor: 0.2500" in page and "bleurt: none (no &lt;checkpoint&gt;)" in page


def test_texts_stay_text(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; {{ 7 * 7 }} {% raw %}") == 3
    assert "raw &lt;folder&gt;" in page and "a &amp; b" in page


def test_nothing_is_fetched(page):
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|src=|@import|url\((?!#)", without_names)


def test_what_is_missing_is_left_out(layout, interactions, system_scores):
    results = write_results(layout, interactions, {"weak": system_scores["weak"]}, 5, 7)
    layout.plot("roc").unlink()
    layout.plot("calibration").unlink()
    write_page(layout, results, {})
    page = layout.page.read_text(encoding="utf-8")
    assert "weak" in page and "<svg" not in page
    for heading in ("Plots", "Cost", "Reasons", "minus the others"):
        assert f"<h2>{heading}" not in page


def test_markdown_beside_the_page(page, layout, results):
    text = layout.page_text.read_text()
    assert markdown_table(results.metrics) in text
    assert text.startswith("# demo\n") and text.endswith("60 draws, seed 7.\n")
    entry = results.metrics["strong"]["test"]
    assert f"| strong | {entry['auc']:.4f} [{entry['auc_low']:.3f}, {entry['auc_high']:.3f}] * |" in text


def test_terminal_table(results):
    lines = format_table(results.metrics).splitlines()
    names = [line.split()[1] for line in lines if "[" in line and line.startswith("│")]
    assert names == ["random", "popularity", "item_mean", "user_item_mean", "strong", "weak", "labels"]
    assert "weak" in format_table(results.metrics, "valid")
    assert re.search(r"│ weak\s+│ -\s+│", format_table(results.metrics, "valid"))


def test_winner_only_outside_the_intervals(results):
    metrics = deepcopy(results.metrics)
    assert winners(metrics, "test")["auc"] == "strong"
    metrics["weak"]["test"]["auc_high"] = metrics["strong"]["test"]["auc"]
    assert "auc" not in winners(metrics, "test")
    metrics["weak"]["test"]["auc_high"] = metrics["weak"]["test"]["auc"]
    metrics["strong"]["test"]["auc_low"] = metrics["user_item_mean"]["test"]["auc"]
    assert "auc" not in winners(metrics, "test")


def test_a_floor_is_no_winner(results):
    metrics = deepcopy(results.metrics)
    metrics["item_mean"]["test"] |= {"auc": 0.999, "auc_low": 0.998, "auc_high": 0.9999}
    assert "auc" not in winners(metrics, "test")
