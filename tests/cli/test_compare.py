"""The command `thinkrec compare`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_chain import seal
from tables import write_interactions

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.data.tables import SPLITS, Interactions
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.reports.results import Scores, write_results
from thinkrec_cli.main import run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(params_text(Params()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def scored(project: Path) -> Layout:
    """Two systems of a small data set, scored."""
    rng = np.random.default_rng(0)
    position, user = np.tile(np.arange(20), 30), np.repeat(np.arange(1, 31), 20)
    item, label = rng.integers(1, 41, 600), rng.integers(0, 2, 600)
    split = np.select([position < 10, position < 14], [0, 1], 2).astype(np.int8)
    warm = np.isin(item, item[split == 0])
    data = Interactions(user, item, label, position * 60, position, split, warm)
    layout = Layout("demo")
    layout.data.mkdir(parents=True)
    names = ("user_id", "item_id", "label", "timestamp", "position", "not_cold")
    columns = {name: getattr(data, name) for name in names}
    write_interactions(layout.interactions, pa.table(columns | {"split": np.array(SPLITS)[split]}))
    rows = data.rows("test")
    good, poor = rng.normal(size=(2, len(rows))) + np.array([[3], [0]]) * label[rows]
    frozen = Scores({"good": (rows, good), "poor": (rows, poor)})
    rolling = Scores({"good": (rows, poor), "poor": (rows, good)})
    write_results(layout, data, {"frozen": frozen, "rolling": rolling}, 5, 7)
    seal(layout, Params())
    return layout


def test_prints_the_table_and_writes_it(scored: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "good", "poor", "--dataset", "demo", "--draws", "200", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "A: good, 1 training seed" in out and "200 draws, seed 3" in out
    assert out.endswith("compare of demo: written to reports/demo/compare/frozen/good-poor-test.json\n")
    found = read_json(scored.comparison("good", "poor", "frozen"))
    assert (found["draws"], found["seed"], found["split"], found["protocol"]) == (200, 3, "test", "frozen")
    assert found["slices"]["test"]["auc"]["ahead"] == "a"


def test_a_protocol_by_option_or_by_the_parameters(scored: Layout) -> None:
    assert run(["compare", "good", "poor", "--dataset", "demo", "--protocol", "rolling"]) == 0
    found = read_json(scored.comparison("good", "poor", "rolling"))
    assert found["protocol"] == "rolling" and found["slices"]["test"]["auc"]["ahead"] == "b"
    scored.comparison("good", "poor", "rolling").unlink()
    params = Params.model_validate({"evaluate": {"protocols": ["rolling", "frozen"]}})
    Path("params.yaml").write_text(params_text(params), encoding="utf-8")
    seal(scored, params)
    assert run(["compare", "good", "poor", "--dataset", "demo"]) == 0
    assert read_json(scored.comparison("good", "poor", "rolling"))["slices"]["test"]["auc"]["ahead"] == "b"
    assert not scored.comparison("good", "poor", "frozen").exists()


def test_draws_and_seed_come_from_the_parameters(scored: Layout) -> None:
    assert run(["compare", "poor", "item_mean", "--dataset", "demo"]) == 0
    found = read_json(scored.comparison("poor", "item_mean", "frozen"))
    assert (found["draws"], found["seed"]) == (1000, 7)


@pytest.mark.parametrize(
    "names, code, words",
    [
        (
            ["good", "por"],
            3,
            "has no predictions of 'por'; there are good, item_mean, labels, poor, ",
        ),
        (["good", "good"], 3, "error: good is compared with itself; name two systems of good, "),
        (["good", "poor", "--split", "valid"], 5, "good.parquet: no valid row was scored"),
        (["good", "poor", "--split", "train"], 2, "'train' is not one of 'valid', 'test'"),
        (["good", "poor", "--protocol", "train"], 3, "has no predictions under train histories; there are "),
        (["good", "poor", "--protocol", "x"], 2, "'x' is not one of 'frozen', 'rolling', 'train'"),
        (["good"], 2, "Missing argument 'B'"),
        (["good", "poor", "--draws", "5"], 2, "5 is not in the range 100<=x<=100000"),
        (["good", "poor", "--draws", "100001"], 2, "100001 is not in the range 100<=x<=100000"),
        (["good", "poor", "--seed", "-1"], 2, "-1 is not in the range 0<=x<=4294967295"),
        (["good", "poor", "--seed", "4294967296"], 2, "4294967296 is not in the range 0<=x<=4294967295"),
    ],
)
def test_bad_input(
    scored: Layout, capsys: pytest.CaptureFixture[str], names: list[str], code: int, words: str
) -> None:
    assert run(["compare", *names, "--dataset", "demo"]) == code
    assert words in capsys.readouterr().err
    assert not (scored.reports / "compare").exists()


def test_what_is_missing_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "mf", "sasrec", "--dataset", "demo"]) == 4
    assert "`thinkrec prep --dataset demo` makes it" in capsys.readouterr().err
    layout = Layout("demo")
    layout.data.mkdir(parents=True)
    layout.interactions.touch()
    assert run(["compare", "mf", "sasrec", "--dataset", "demo"]) == 4
    assert capsys.readouterr().err == (
        "error: reports/demo/predictions is not there yet: `thinkrec evaluate --dataset demo` makes it\n"
    )
