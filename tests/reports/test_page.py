"""The page: complete, self-contained, and titles that stay text."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from records import write_record_of

from thinkrec.files import read_json, write_json
from thinkrec.metrics.floors import FLOORS
from thinkrec.reports.figures import map_figure
from thinkrec.reports.grids import ONE_TRAINING, headline_grid, markdown, markdown_tables, slice_grid
from thinkrec.reports.page import Case, SampleReason, write_page
from thinkrec.reports.results import Leader, Measured, Scores, write_results
from thinkrec.reports.tables import format_table
from thinkrec.reports.users import user_map
from thinkrec.reports.verdict import even_with, title, verdict

HOSTILE = '<script>alert("1")</script> {{ 7 * 7 }} {% raw %} \u202e Answer: Yes'


@pytest.fixture
def page(layout, results):
    for stage, seconds in (("cf", 12.5), ("prep", 1.0)):
        write_record_of(layout, stage)
        said = read_json(layout.record(stage))
        write_json(layout.record(stage), said | {"seconds": seconds})
    layout.curve("cf").parent.mkdir(parents=True)
    layout.curve("cf").write_text("model,epoch,series,value\nmf,0,valid_auc,0.5\nmf,1,valid_auc,0.6\n")
    reasons = [SampleReason("strong", 3, HOSTILE, 1, 0.25, HOSTILE, HOSTILE)]
    write_page(layout, results, {"items": 1234, "raw <folder>": "a & b"}, reasons)
    return layout.page.read_text(encoding="utf-8")


def test_numbers_with_interval_population_and_seed(page, results):
    entry = results.by_protocol["frozen"].metrics["strong"]["test"]
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
    assert page.count("<svg") == page.count("</svg>") == 5  # two of the picture
    assert "Training curves of the stage cf" in page
    assert "<td>meteor</td><td>0.2500 [0.200, 0.300]</td>" in page
    assert "40 test rows of 30 users" in page and "bleurt: none (no &lt;checkpoint&gt;)" in page


def test_texts_stay_text(page):
    assert page.count("<script") == 1  # the page's own, which sorts tables
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; {{ 7 * 7 }} {% raw %}") == 3
    assert "raw &lt;folder&gt;" in page and "a &amp; b" in page


def test_nothing_is_fetched(page):
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"|<metadata>.*?</metadata>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|src=|@import|url\((?!#)", without_names)


def test_what_is_missing_is_left_out(layout, interactions, system_scores):
    results = write_results(layout, interactions, {"frozen": Scores({"weak": system_scores["weak"]})}, 5, 7)
    layout.plot("roc").unlink()
    layout.plot("calibration").unlink()
    write_page(layout, results, {})
    page = layout.page.read_text(encoding="utf-8")
    assert "weak" in page and page.count("<svg") == 2
    for heading in ("Plots", "Cost", "Reasons", "Groups", "Case studies", "Seeds", "Labels shuffled"):
        assert f"<h2>{heading}" not in page and f"<h3>{heading}" not in page
    assert "minus the others" not in page


def test_what_is_damaged_is_left_out_and_told(layout, results, caplog):
    for stage in ("prep", "global"):
        write_record_of(layout, stage)
    layout.record("cf").write_text("<x>")
    layout.record("global").write_text("[]")
    layout.curve("cf").parent.mkdir(parents=True)
    layout.curve("cf").write_bytes(b"\xff")
    os.mkfifo(layout.curve("global"))
    write_page(layout, results, {})
    page = layout.page.read_text(encoding="utf-8")
    assert ">prep<" in page and ">cf<" not in page and "Training curves" not in page
    told = page.count('<p class="note">Left out: ')
    assert told == page.count(": run `thinkrec ") == len(caplog.messages) == 4
    assert all(line.endswith("again; the report leaves it out") for line in caplog.messages)


def test_markdown_beside_the_page(page, layout, results):
    text = layout.page_text.read_text()
    assert (
        markdown_tables(
            results.by_protocol["frozen"].metrics,
            results.by_protocol["frozen"].slices,
            results.by_protocol["frozen"].best,
        )
        in text
    )
    assert f"\n# Protocol frozen\n\n{ONE_TRAINING}\n\n| system |" in text
    assert text.startswith("# demo\n") and text.endswith("60 draws, seed 7.\n")
    entry = results.by_protocol["frozen"].metrics["strong"]["test"]
    assert f"| strong | {entry['auc']:.4f} [{entry['auc_low']:.3f}, {entry['auc_high']:.3f}] * |" in text


def test_terminal_table(results):
    lines = format_table(
        results.by_protocol["frozen"].metrics, results.by_protocol["frozen"].best
    ).splitlines()
    names = [line.split()[1] for line in lines if "[" in line and line.startswith("│")]
    assert names == [*FLOORS, "strong", "weak", "labels"]
    assert "weak" in format_table(
        results.by_protocol["frozen"].metrics, results.by_protocol["frozen"].best, "valid"
    )
    assert re.search(
        r"│ weak\s+│ -\s+│",
        format_table(results.by_protocol["frozen"].metrics, results.by_protocol["frozen"].best, "valid"),
    )


def test_slices_on_page_and_in_markdown(page, layout, results):
    text = layout.page_text.read_text()
    entry = results.by_protocol["frozen"].slices["strong"]["test/tail"]
    half = (entry["uauc_high"] - entry["uauc_low"]) / 2
    for shown in (page, text):
        assert f"{entry['uauc']:.3f} ± {half:.3f}" in shown
        assert f"{entry['rows']:,}" in shown and "cold_item" in shown
    grid = slice_grid(
        results.by_protocol["frozen"].metrics,
        results.by_protocol["frozen"].slices,
        results.by_protocol["frozen"].best,
        "uauc",
    )
    assert grid[0] == ["uauc", "all", "warm", "cold_item", "head", "tail", "history_10-24", "history_2+"]
    assert [row[0] for row in grid[1][:2]] == ["rows", "users"]
    assert grid[1][1][1] == str(results.by_protocol["frozen"].metrics["strong"]["test"]["users_uauc"])
    marks = [row[0] for row in grid[1] if row[1].endswith(" *")]
    assert marks == [results.by_protocol["frozen"].best["test"]["uauc"]] == ["strong"]
    assert "## Seeds" not in text and "<h3>Seeds" not in page


def test_seeds_on_page_and_in_markdown(layout, interactions, system_scores):
    rows, score = system_scores["strong"]
    seeds = {"strong": {8: (rows, score + np.random.default_rng(3).normal(size=len(rows)))}}
    results = write_results(layout, interactions, {"frozen": Scores(system_scores, seeds)}, 5, 7)
    write_page(layout, results, {})
    entry = results.by_protocol["frozen"].metrics["strong"]["test/seeds"]
    shown = f"{entry['auc_mean']:.4f} ± {entry['auc_sd']:.4f}"
    assert f"| strong | 2 | {shown} |" in layout.page_text.read_text()
    assert f"<td>2</td><td>{shown}</td>" in layout.page.read_text(encoding="utf-8")


def test_the_first_paragraph_says_who_is_ahead_and_of_whom_not(page, layout, results, interactions):
    assert "<h1>demo: strong is ahead in UAUC</h1>" in page
    found = results.by_protocol["frozen"]
    entry = found.metrics["strong"]["test"]
    spread = f"[{entry['uauc_low']:.3f}, {entry['uauc_high']:.3f}]"
    value = f"strong has the highest UAUC, {entry['uauc']:.4f} {spread}"
    said = f"{value}, and is ahead of all other systems and floors."
    assert verdict(found, "uauc") == said and said in page and said in layout.page_text.read_text()
    leader = found.leaders["uauc"]
    assert leader.others["weak"] == found.differences["test"]["weak"]["uauc"]
    rows = interactions.rows("test")
    noise = np.random.default_rng(1).normal(size=(2, len(rows)))
    even = Scores({"a": (rows, noise[0]), "b": (rows, noise[0] + 0.1 * noise[1])})
    close = write_results(layout, interactions, {"frozen": even}, 60, 7).by_protocol["frozen"]
    first = close.leaders["uauc"].system
    assert title(close) == "nobody is ahead of all others in UAUC"
    assert set(even_with(close.leaders["uauc"])) >= {"a", "b"} - {first}
    assert verdict(close, "uauc").startswith(f"{first} has the highest UAUC, ") and ", not of " in verdict(
        close, "uauc"
    )


def test_many_behind_are_counted():
    metrics = {name: {"test": {"uauc": 0.6, "uauc_low": 0.5, "uauc_high": 0.7}} for name in "abcdefg"}
    apart = {name: {"difference": 0.1, "low": 0.05, "high": 0.2} for name in (*"bcdef", "random")}
    apart["g"] = {"difference": 0.01, "low": -0.05, "high": 0.2}
    apart["labels"] = {"difference": -0.4, "low": -0.5, "high": -0.3}
    found = Measured(metrics, {}, {}, {}, {}, {"uauc": Leader("a", apart)}, metrics)
    assert verdict(found, "uauc") == (
        "a has the highest UAUC, 0.6000 [0.500, 0.700]. "
        "It is ahead of the other 5 systems and every floor, not of g."
    )
    assert verdict(found, "auc") == "AUC on test is defined for no system."
    even = apart | {name: {"difference": 0.01, "low": -0.05, "high": 0.2} for name in "bcdefg"}
    found = replace(found, leaders={"uauc": Leader("a", even)})
    assert verdict(found, "uauc").endswith("It is ahead of every floor, not of b, c, d, e and 2 more.")
    found = replace(found, leaders={"uauc": Leader("a", even | {"b": apart["b"]}, ("b",))})
    assert verdict(found, "uauc") == (
        "a and b have the highest UAUC, 0.6000 [0.500, 0.700]. "
        "a is ahead of every floor, not of c, d, e, f and 1 more."
    )


def test_shuffled_labels_and_other_protocols_are_shown(layout, results):
    results.by_protocol["rolling"].metrics["weak"]["test/shuffled"] = {
        "draws": 3, "uauc": 0.5012, "uauc_low": 0.48, "uauc_high": 0.52,
    }  # fmt: skip
    write_page(layout, results, {"users_averaged": 3, "users_mixed": 1})
    page = layout.page.read_text(encoding="utf-8")
    assert "<td>weak</td><td>-</td><td>0.5012 [0.480, 0.520]</td>" in page
    assert "<td>averaged</td><td>3</td><td>0.750</td>" in page
    assert "<h2>Rolling, for comparison with print</h2>" in page
    header, rows = headline_grid(results.by_protocol)
    assert header == [
        "system",
        "uauc, frozen",
        "ndcg@5, frozen",
        "map@5, frozen",
        "auc, frozen",
        "auc, rolling",
    ]
    (floor,) = [row for row in rows if row[0] == "minus_running_mean (floor)"]
    assert floor[1:5] == ["-"] * 4 and floor[5] != "-"
    assert markdown(headline_grid(results.by_protocol)) in layout.page_text.read_text()


def test_a_case_shows_history_decision_and_hint(layout, results):
    case = Case(
        "strong", 3, "Asked", 0, 0.25, "No.", "Yes.", [("<b>One", True), ("Two", False)], "mixed", False
    )
    write_page(layout, results, {}, [case])
    page = layout.page.read_text(encoding="utf-8")
    assert "<li>&lt;b&gt;One (liked)</li><li>Two (not liked)</li>" in page
    assert "user 3 (mixed): score +0.250; the user did not like it" in page and "not told the label" in page


def test_users_are_mapped_where_they_are_grouped(chain):
    points, group = user_map(chain.layout)
    assert points.shape == (len(group), 2) and len(group) > 10 and np.isfinite(points).all()
    assert points[:, 0].std() >= points[:, 1].std() > 0
    assert np.array_equal(points, user_map(chain.layout)[0])
    page = chain.layout.page.read_text(encoding="utf-8")
    assert "A map of" in page and "history in the prompt" in page
    assert map_figure(points, group) == map_figure(points, group)
