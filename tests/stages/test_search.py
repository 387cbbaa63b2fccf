"""The search of one data set: trials and tables of encoders and gbdt, winners in params.yaml."""

import csv
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_chain import Chain

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.stages import cf
from thinkrec.stages.search import search


def test_winners_are_no_worse_than_the_defaults_and_can_be_trained(chain: Chain, tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    shutil.copytree(chain.layout.data, layout.data)
    params = Params.model_validate(
        {"cf": {"models": ["mf"], "seeds": 1, "epochs": 6, "patience": 3}} | SYSTEMS
    )
    encoder, gbdt = search(layout, params, ["mf", "gbdt"], trials=3)
    assert [found.model for found in (encoder, gbdt)] == ["mf", "gbdt"]
    assert set(encoder.values) == {"embedding_size", "learning_rate", "weight_decay"}
    assert set(gbdt.values) == {"learning_rate", "max_leaf_nodes", "l2_regularization"}
    for found in (encoder, gbdt):
        rows = list(csv.DictReader(found.table.open(encoding="utf-8")))
        (first,) = [row for row in rows if row["trial"] == "0"]
        assert float(rows[0]["valid_auc"]) >= float(first["valid_auc"]) > 0.3
        assert len(rows) == 3 and float(rows[0]["seconds"]) >= 0  # rounded to a tenth
    # What stands in params.yaml gives what the table says.
    facts = cf.run(layout, params.model_copy(update={"tuned": {"demo": encoder.tuned}}))
    best = next(csv.DictReader(encoder.table.open(encoding="utf-8")))
    assert facts["mf"]["valid_auc"] == pytest.approx(float(best["valid_auc"]), abs=1e-6)


SYSTEMS = {"evaluate": {"systems": ["mf"]}, "cluster": {"encoder": "mf"}}


def test_test_labels_change_no_trial(chain: Chain, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for name in ("as_it_is", "spoiled"):
        layout = Layout("demo", tmp_path / name)
        shutil.copytree(chain.layout.data, layout.data)
        if name == "spoiled":
            table = pq.read_table(layout.interactions)
            label = table["label"].to_numpy().copy()
            label[table["split"].to_numpy() == "test"] ^= 1
            place = table.column_names.index("label")
            pq.write_table(table.set_column(place, "label", pa.array(label)), layout.interactions)
        params = Params.model_validate({"cf": {"models": ["mf"], "epochs": 3}} | SYSTEMS)
        found = list(search(layout, params, ["mf"], trials=2))
        tables.append([(trial.params, trial.value) for trial in found[0].trials])
    assert tables[0] == tables[1]


def test_bad_input(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        list(search(chain.layout, chain.params, ["gru"], trials=1))
    assert str(caught.value) == ("no search for 'gru'; there are mf, lightgcn, sasrec, gsasrec_labels, gbdt")
    with pytest.raises(MissingInputError, match="thinkrec prep --dataset demo"):
        list(search(Layout("demo", tmp_path), chain.params, ["mf"], trials=1))


def test_the_command_writes_the_winner(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thinkrec_cli.search import command

    layout = Layout("demo", tmp_path)
    shutil.copytree(chain.layout.data, layout.data)
    (tmp_path / "params.yaml").write_text(params_text(Params()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["--dataset", "demo", "--model", "gbdt", "--trials", "2"])
    assert result.exit_code == 0, result.output
    said = "gbdt of demo: all trials in reports/demo/search/gbdt.csv, the best in params.yaml"
    assert said in result.output
    found = load_params(tmp_path / "params.yaml").tuned["demo"].gbdt
    assert found is not None and found.max_iter == Params().baselines.gbdt.max_iter
    assert (tmp_path / "reports/demo/search/gbdt.csv").exists()
