"""What a search chose goes into params.yaml, and nowhere else in it."""

from pathlib import Path

import pytest

from thinkrec.config.load import load_params
from thinkrec.config.presets import apply_preset
from thinkrec.config.sections import EncoderChoice, Gbdt, Params, Tuned
from thinkrec.config.tuned import write_tuned
from thinkrec.config.write import kept, params_text
from thinkrec.errors import ConfigError

CHOICE = EncoderChoice(learning_rate=0.00123, embedding_size=128, weight_decay=1e-7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "params.yaml"
    file.write_text(params_text(Params()).replace("seed: 7\n", "seed: 11   # mine\n", 1), encoding="utf-8")
    return file


def tuned(name: str = "mf", choice: EncoderChoice = CHOICE) -> Tuned:
    return Tuned.model_validate({"cf": {name: choice.model_dump()}})


def test_only_tuned_changes(path: Path) -> None:
    before = path.read_text(encoding="utf-8")
    write_tuned(path, "demo", tuned())
    after = path.read_text(encoding="utf-8")
    lines = (
        "tuned:\n  demo:\n    cf:\n"
        "      mf: {learning_rate: 0.00123, embedding_size: 128, weight_decay: 1.0e-07}\n"
    )
    assert after == before.replace("tuned:\n  demo: {}\n", lines)
    assert load_params(path).tuned == {"demo": tuned()}


def test_further_models_and_data_sets_are_added_and_an_older_choice_is_replaced(path: Path) -> None:
    write_tuned(path, "demo", tuned())
    write_tuned(path, "demo", tuned("sasrec"))
    write_tuned(path, "ml1m", tuned())
    write_tuned(path, "demo", Tuned.model_validate({"gbdt": {"learning_rate": 0.1, "max_leaf_nodes": 7}}))
    other = EncoderChoice(learning_rate=0.5, embedding_size=64, weight_decay=0.0)
    write_tuned(path, "demo", tuned("mf", other))
    found = load_params(path)
    assert found.tuned["demo"].cf == {"mf": other, "sasrec": CHOICE}
    assert found.tuned["ml1m"] == tuned()
    assert found.tuned["demo"].gbdt == Gbdt(learning_rate=0.1, max_leaf_nodes=7)
    assert found == Params(seed=11, tuned=found.tuned)
    assert "max_iter" not in path.read_text(encoding="utf-8").split("demo:\n  users")[0].split("tuned:")[1]


def test_a_data_set_without_an_entry_stops_every_stage(path: Path) -> None:
    """DVC would, but only at `cf`, after hours perhaps."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("tuned:\n  demo: {}\n", "tuned: {}\n"), encoding="utf-8")
    assert load_params(path).tuned == {"demo": Tuned()}
    with pytest.raises(ConfigError) as caught:
        load_params(path, stage="prep")
    assert str(caught.value) == (
        "params.yaml has 1 error:\n"
        "  tuned.demo: is missing: write `demo: {}` there, until `thinkrec search` has chosen something"
    )


def test_a_choice_goes_before_the_sections_values(path: Path) -> None:
    write_tuned(path, "demo", tuned())
    params = load_params(path)
    assert params.cf.choice("mf", params.tuned.get("demo")) == CHOICE
    assert params.cf.choice("mf", params.tuned.get("ml1m")) == params.cf.encoders.mf
    assert params.cf.choice("lightgcn", params.tuned.get("demo")) == params.cf.encoders.lightgcn


def test_presets_and_a_new_params_yaml_keep_it(path: Path) -> None:
    write_tuned(path, "demo", tuned())
    text = path.read_text(encoding="utf-8")
    apply_preset(path, "paper")
    assert load_params(path).tuned == {"demo": tuned()}
    apply_preset(path, "cpu")
    assert path.read_text(encoding="utf-8") == text
    assert params_text(Params(seed=11, tuned=kept(path))) == text.replace("seed: 11   # mine", "seed: 11")


def test_a_broken_file_stays_as_it_is(path: Path) -> None:
    broken = path.read_text(encoding="utf-8").replace("patience: 10", "patience: 0")
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(ConfigError, match="patience"):
        write_tuned(path, "demo", tuned())
    assert path.read_text(encoding="utf-8") == broken
    assert [file.name for file in path.parent.iterdir()] == ["params.yaml"]


def test_what_a_choice_leaves_out_comes_from_the_sections() -> None:
    params = Params.model_validate({"baselines": {"gbdt": {"max_iter": 15}}})
    partly = Tuned.model_validate({"cf": {"mf": {"embedding_size": 16}}, "gbdt": {"max_leaf_nodes": 7}})
    assert params.baselines.choice(partly) == Gbdt(max_iter=15, max_leaf_nodes=7)
    assert params.cf.choice("mf", partly) == params.cf.encoders.mf.model_copy(update={"embedding_size": 16})
