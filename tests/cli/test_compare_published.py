"""The command `thinkrec compare --published`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_chain import seal

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.reports.published import compare_published, figures_of, tables
from thinkrec.reports.published_figures import FIGURES
from thinkrec.reports.results import Scores, write_results
from thinkrec_cli.main import run

COMMAND = ["compare", "--published", "--dataset", "films"]
MONTHS = {"train": (0, 3), "valid": (4, 5), "test": (6, 8)}


def score(layout: Layout, *protocols: Protocol) -> None:
    """Evaluate two systems of random scores, one of which knows something."""
    data, rng = Interactions.load(layout.interactions), np.random.default_rng(3)
    rows = np.concatenate([data.rows("valid"), data.rows("test")])
    systems = {
        "mf": (rows, rng.normal(size=len(rows)) + 2 * data.label[rows]),
        "thinkrec-no-keywords-no-projector": (rows, rng.normal(size=len(rows))),
    }
    write_results(layout, data, {name: Scores(systems) for name in protocols}, 20, 7)
    seal(layout, load_params())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared and evaluated data set in MovieLens' format, with another name and other months."""
    root = tmp_path_factory.mktemp("made")
    raw, rng = root / "data" / "raw" / "films", np.random.default_rng(0)
    raw.mkdir(parents=True)
    lines = []
    for turn in range(2400):  # later moments have new users
        user, item, rating = rng.integers(1, [12 + turn // 40, 41, 6])
        lines.append(f"{user}::{item}::{rating}::{10**9 + turn * 9000}")
    (raw / "ratings.dat").write_text("\n".join(lines) + "\n")
    (raw / "movies.dat").write_text("".join(f"{item}::Film {item} (1995)::Drama\n" for item in range(1, 41)))
    split = {name: {"first": first, "last": last} for name, (first, last) in MONTHS.items()}
    folder = {"raw": "data/raw/films", "watch": "data/raw/films"}
    source = {"reader": "ml1m", **folder, "split": {"rule": "months", **split}}
    params = Params.model_validate({"datasets": {"films": source}})
    (root / "params.yaml").write_text(params_text(params), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run(["prep", "--dataset", "films"]) == 0
        score(Layout("films"), "frozen", "rolling")
    return root


@pytest.fixture
def layout(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The same, for one test to change."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    return Layout("films")


def sections(out: str) -> dict[str, list[str]]:
    """Split the output into its tables, by population, and what follows them."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in out.splitlines():
        if line.startswith("test") and ", rolling" in line:
            lines = found.setdefault(line.partition(",")[0], [])
        elif line.startswith("±"):
            lines = found.setdefault("notes", [])
        lines.append(line)
    return found


def test_published_rows_stand_below_ours_of_the_same_population(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(COMMAND) == 0
    out = capsys.readouterr().out
    assert out.endswith("compare of films: written to reports/films/compare/published.json\n")
    assert "…" not in out and max(map(len, out.splitlines())) <= 80
    parts = sections(out)
    assert list(parts) == ["test", "test/warm", "test/history_2+", "notes"]
    metrics, slices = (read_json(path)["rolling"]["mf"] for path in (layout.metrics, layout.slices))
    entries = {**metrics, **slices}
    assert entries["test"]["rows"] > entries["test/history_2+"]["rows"] > 0
    for part in list(parts)[:3]:
        (line,) = (each.split() for each in parts[part] if each.startswith("mf "))
        assert [value.partition("±")[0] for value in line[1:]] == [
            f"{entries[part][name]:.4f}".removeprefix("0") for name in ("auc", "uauc", "ndcg@5", "map@5")
        ]
        half = (entries[part]["auc_high"] - entries[part]["auc_low"]) / 2
        assert line[1].endswith(f"±{half:.3f}".replace("±0", "±")) and half > 0
        names = [
            each.split()[0] for each in parts[part] if each.startswith(("minus_running", "mf", "labels"))
        ]
        assert names == ["minus_running_mean", "mf", "labels"]
    published = {part: [each for each in lines if "(published" in each] for part, lines in parts.items()}
    assert [len(lines) for lines in published.values()] == [19, 0, 1, 0]
    rows = [line.split() for line in (*published["test"], *published["test/history_2+"])]
    assert ["ThinkRec", "(published,", "8)", ".7764", ".6775", ".7747", ".4774"] in rows
    assert ["SAILRec", "(published,", "5)", ".7571", "-", "-", "-"] in rows
    assert rows[-1] == ["SeLLa-Rec", "(published,", "11)", ".7606", ".7464", "-", "-"]
    assert "Nothing was published of these rows." in parts["test/warm"]
    assert "Nothing was published of these rows." not in parts["test"]


def test_published_figures_have_no_star_and_no_interval(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_json(layout.differences)["rolling"]["best"]["test"]["auc"] == "mf"  # a star in the report
    assert run(COMMAND) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "(published" in line]
    assert len(lines) == 20 and not any("±" in line or "[" in line for line in lines)
    assert "*" not in out


def test_notes_say_the_source_and_what_differs(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND) == 0
    text = " ".join(" ".join(sections(capsys.readouterr().out)["notes"]).split())
    assert "(1) CoLLM, arXiv:2310.19488, table not recorded; 7B language model (2) BinLLM" in text
    assert "(8) ThinkRec, Table 2; Llama3-8B-Instruct; its own processing of the data (9)" in text
    assert "it leaves out users of fewer than two interactions, history_2+ rows" in text
    data = Interactions.load(layout.interactions)
    assert f"rows test {len(data.rows('test')):,}, not 7,331 (paper, Table 1);" in text
    assert "raw ratings 2,400, not 1,000,209 (release)." in text
    assert "Our settings differ from the paper's: split.train.first is 0, not 14; split.train" in text
    assert "minus_running_mean knows no taste and is their floor." in text
    assert "Our language model" not in text  # no record of one


def test_what_is_printed_is_written(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND) == 0
    found = read_json(layout.published)
    assert [each["population"] for each in found["tables"]] == ["test", "test/warm", "test/history_2+"]
    assert {each["protocol"] for each in found["tables"]} == {"rolling"}
    metrics = read_json(layout.metrics)["rolling"]
    assert found["tables"][0]["ours"] == {name: each["test"] for name, each in metrics.items()}
    written = [row for table in found["tables"] for row in table["published"]]
    of_movielens = [each for each in FIGURES if each.dataset == "ml1m"]
    assert len(written) == len(of_movielens)
    assert {(row["method"], row["source"]) for row in written} == {(e.method, e.source) for e in of_movielens}
    assert found["data"]["other_settings"]["split.train.first"] == {"here": 0, "paper": 14}


def test_one_system_of_ours(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(layout.backbone / "backbone.json", {"model": "/somewhere/else/Qwen3-0.6B"})
    assert run([*COMMAND, "thinkrec-no-keywords-no-projector", "--protocol", "rolling"]) == 0
    out = capsys.readouterr().out
    assert "\nmf " not in out and "item_mean (floor)" not in out and "SeLLa-Rec (published" in out
    assert "Our language model is Qwen3-0.6B.\n" in out and "somewhere" not in out
    assert set(read_json(layout.published)["tables"][0]["ours"]) == {"thinkrec-no-keywords-no-projector"}
    assert run([*COMMAND, "mf"]) == 0
    assert "Our language model" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "code", "words"),
    [
        (["mf", "item_mean"], 2, "--published shows all systems, or one: leave out item_mean."),
        (["--split", "valid"], 2, "Published figures are of test rows: leave out --split."),
        (["--draws", "100"], 2, "intervals of metrics.json: leave out --draws and --seed."),
        (["--seed", "0"], 2, "intervals of metrics.json: leave out --draws and --seed."),
        (
            ["--protocol", "frozen"],
            3,
            "error: no figure of films was published under frozen histories: leave --protocol out, or name "
            "rolling\n",
        ),
        (
            ["mff"],
            3,
            "error: reports/films/metrics.json has no system 'mff' under rolling; it has item_mean, ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    layout: Layout, capsys: pytest.CaptureFixture[str], names: list[str], code: int, words: str
) -> None:
    assert run([*COMMAND, *names]) == code
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""
    assert not layout.published.exists()


def test_without_the_option_two_systems_are_needed(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", "--dataset", "films"]) == 2
    assert "Error: Missing argument 'A'." in capsys.readouterr().err
    assert run(["compare", "mf", "--dataset", "films"]) == 2
    assert "Error: Missing argument 'B'." in capsys.readouterr().err


def test_a_protocol_that_was_not_evaluated(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    score(layout, "frozen")
    capsys.readouterr()
    assert run(COMMAND) == 3
    assert capsys.readouterr().err == (
        "error: reports/films/metrics.json: evaluate.protocols lacks rolling, which published figures are "
        "measured by: add it and run `thinkrec evaluate --dataset films`\n"
    )


@pytest.mark.parametrize("name", ["metrics", "slices", "interactions"])
def test_a_missing_file_is_named_with_its_command(
    layout: Layout, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path: Path = getattr(layout, name)
    path.unlink()
    assert run(COMMAND) == 4
    stage = "prep" if name == "interactions" else "evaluate"
    assert capsys.readouterr().err == (
        f"error: {path} is not there yet: `thinkrec {stage} --dataset films` makes it\n"
    )


def test_unknown_data_sets_and_those_without_figures(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", "--published", "--dataset", "ml1m"]) == 3
    assert "names no data set `ml1m` (known: films)" in capsys.readouterr().err
    own = {"reader": "custom", "raw": "data/raw/own", "watch": "data/raw/own"}
    params = Params.model_validate({"datasets": {"own": own}})
    Path("params.yaml").write_text(params_text(params), encoding="utf-8")
    assert run(["compare", "--published", "--dataset", "own"]) == 3
    assert "error: no published figures of own are known: they are of the readers ml1m, yelp" in (
        capsys.readouterr().err
    )


def said(result: dict[str, object]) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for table in tables(result):
            console.print(table)
    return capture.get()


def test_results_from_before_the_slice_was_there(layout: Layout) -> None:
    kept = read_json(layout.slices)
    for each in kept["rolling"].values():
        del each["test/history_2+"]
    write_json(layout.slices, kept)
    source = load_params().datasets["films"]
    data = {"counts": [], "other_settings": {}}
    text = said(compare_published(layout, figures_of(source, "films"), data))
    part = " ".join(" ".join(sections(text)["test/history_2+"]).split())
    assert "SeLLa-Rec (published, 11)" in part
    assert "test/history_2+: no rows of ours (`thinkrec evaluate --dataset films` measures the slice" in part
    books = [each for each in FIGURES if each.dataset == "book"]
    text = said(compare_published(layout, books, data))
    assert "test/history_2+, rolling" not in text  # neither has rows: no table
    assert "Nothing was published of these rows." in text.partition("test/history_2+: no rows of ours")[2]


def test_equal_counts_are_said_to_be_equal(layout: Layout) -> None:
    figures = figures_of(load_params().datasets["films"], "films")
    counts = [
        {"what": name, "ours": 5, "published": 5, "equal": equal, "source": "paper, Table 1"}
        for name, equal in (("rows train", True), ("rows test", True), ("users", None))
    ]
    text = said(compare_published(layout, figures, {"counts": counts, "other_settings": {}}))
    assert text.endswith("Equal to the published counts: rows train, rows test.\n")


def test_data_of_other_settings_are_not_compared(layout: Layout) -> None:
    with pytest.raises(DataError, match=r"nothing was published: run `thinkrec prep --dataset films` again"):
        compare_published(layout, [], None)
