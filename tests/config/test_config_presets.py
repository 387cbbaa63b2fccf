import re
from pathlib import Path

import pytest

from thinkrec.config.load import load_params, parse_params
from thinkrec.config.presets import PRESETS, Change, apply_preset, preset_values
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "params.yaml"
    file.write_text(params_text(Params()), encoding="utf-8")
    return file


def test_paper_has_the_papers_values(path: Path) -> None:
    changes = apply_preset(path, "paper")
    params = load_params(path)
    assert Change("backbone.model", "smollm2", "meta-llama/Meta-Llama-3-8B-Instruct") in changes
    assert Change("experts.learning_rate", "0.0002", "1.0e-05") in changes
    assert len(changes) == len({change.key for change in changes})
    keys = [change.key for change in changes if change.key.endswith(".batch_size")]
    assert keys == ["training.batch_size", *(key for key in keys[1:] if "agent" in key or "evaluate" in key)]
    assert (params.backbone.dtype, params.global_.learning_rate) == ("bfloat16", 1e-4)
    assert (params.experts.last_layers, params.global_.lora.rank) == (8, 8)
    assert (params.synthesize.teacher, params.synthesize.endpoint.model) == ("endpoint", "Qwen/QwQ-32B")
    assert params.cf.encoders.mf.embedding_size == 256
    for training in (params.global_, params.experts, params.projector):
        assert training.batch_size * training.gradient_accumulation == 32


def test_cpu_after_paper_gives_back_every_byte(path: Path) -> None:
    before = path.read_bytes()
    assert len(apply_preset(path, "paper")) == len(apply_preset(path, "cpu")) > 10
    assert path.read_bytes() == before
    assert apply_preset(path, "cpu") == []


@pytest.mark.parametrize("listed", ["agents: [demo]", "agents:\n- demo  # mine"])
def test_data_sets_of_the_agent_stay(path: Path, listed: str) -> None:
    before = path.read_text(encoding="utf-8")
    path.write_text(text := before.replace("agents: []", listed), encoding="utf-8")
    assert text != before
    apply_preset(path, "paper")
    assert load_params(path).agents == ["demo"]
    apply_preset(path, "cpu")
    assert path.read_text(encoding="utf-8") == text


def test_only_what_differs_is_touched(path: Path) -> None:
    """Own comments, spacing and list styles stay, and so do seed, data sets and demo."""
    text = path.read_text(encoding="utf-8")
    for old, new in [
        ("seed: 7\n", "seed: 11   # mine\n"),
        ("  users: 100", "  users: 60"),
        ("raw: data/raw/demo\n    watch: data/raw/demo", "raw: elsewhere\n    watch: elsewhere"),
        ("  target_modules", "  # my note\n    target_modules"),
        ("  models:\n  - mf\n  - mf_no_biases\n", "  models: [mf, mf_no_biases,\n"),
        ("  - lightgcn\n  - sasrec\n  - gsasrec\n", "    lightgcn, sasrec, gsasrec,\n"),
        ("  - sasrec_labels\n  - gsasrec_labels\n", "    sasrec_labels, gsasrec_labels]   # flow\n"),
        ("  dtype: auto", "  dtype:    auto   "),
        (
            "target_modules: [q_proj, k_proj, v_proj, o_proj]  # paper: q_proj, v_proj\n",
            "target_modules:  # paper: q_proj, v_proj\n    - q_proj  # one\n",
        ),
        ("  revision:  #", "  revision: 3f2a  #"),
    ]:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    apply_preset(path, "paper")
    apply_preset(path, "cpu")
    expected = (
        text.replace("dtype:    auto ", "dtype: auto ")
        .replace("    - q_proj  # one\n", "")
        .replace(
            "target_modules:  # paper: q_proj, v_proj\n",
            "target_modules: [q_proj, k_proj, v_proj, o_proj]  # one\n",
            1,
        )
        .replace("revision: 3f2a  #", "revision: null  #")
    )
    assert path.read_text(encoding="utf-8") == expected


def test_unknown_preset_and_bad_params_change_nothing(path: Path) -> None:
    before = path.read_bytes()
    words = r"^there is no preset `gpu`; there are: cpu, laptop, small-gpu, paper, paper-8gpu$"
    with pytest.raises(ConfigError, match=words):
        apply_preset(path, "gpu")
    broken = before.replace(b"seed: 7\n", b"sed: 7\n", 1)
    path.write_bytes(broken)
    with pytest.raises(ConfigError, match=r"  sed: no such key; did you mean `seed`\?"):
        apply_preset(path, "paper")
    assert path.read_bytes() == broken
    assert [file.name for file in path.parent.iterdir()] == ["params.yaml"]


def test_presets_name_keys_that_exist() -> None:
    for values in PRESETS.values():
        for key in values:
            section: object = Params().model_dump(by_alias=True)
            for part in key.split("."):
                assert isinstance(section, dict) and part in section, key
                section = section[part]


def test_an_experiments_override_changes_its_own_value_only(path: Path) -> None:
    """What `dvc exp run -S training.epochs=2` does to the file; it folds long lines, and moves no comment."""
    hydra = pytest.importorskip("dvc.utils.hydra")
    before = path.read_text(encoding="utf-8")
    hydra.apply_overrides(str(path), ["training.epochs=2"])
    after = path.read_text(encoding="utf-8")
    key = "\n  epochs: 0.4  # passes over the recommendation rows"
    assert before.count(key) == 1
    assert parse_params(after) == parse_params(before.replace(key, "\n  epochs: 2.0"))
    assert re.findall("#.*", after) == re.findall("#.*", before)
    assert parse_params(after).global_.epochs == 2


def test_an_experiment_may_override_a_shared_value_for_one_stage(path: Path) -> None:
    """What `dvc exp run -S +global.epochs=2` does to the file."""
    hydra = pytest.importorskip("dvc.utils.hydra")
    hydra.apply_overrides(str(path), ["+global.epochs=2"])
    params = load_params(path)
    assert (params.global_.epochs, params.training.epochs, params.experts.epochs) == (2, 0.4, 0.25)


def dropped(text: str, section: str, key: str) -> str:
    """The text without one key of a section."""
    start = text.index(f"\n{section}:\n")
    line = text.index(f"\n  {key}:", start)
    return text[:line] + text[text.index("\n", line + 1) :]


def resolved(path: Path) -> dict[str, object]:
    """Values of a file under the keys that presets set."""
    params = load_params(path).model_dump(mode="json", by_alias=True)
    found: dict[str, object] = {}
    for key in preset_values("cpu"):
        value = params
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


OVERRIDES = [
    ("\nexperts:\n", "\nexperts:\n  batch_size: 48  # as the others\n  packing: false\n"),
    ("  endpoint: {}", "  endpoint: {max_tokens: 1024}"),
    ("  endpoint: {}  # An", "  # An"),
]


@pytest.mark.parametrize(("old", "new"), OVERRIDES)
@pytest.mark.parametrize("name", ["paper", "paper-8gpu"])
def test_presets_and_a_stage_that_overrides_or_omits_shared_keys(
    path: Path, name: str, old: str, new: str
) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text := text.replace(old, new, 1), encoding="utf-8")
    assert apply_preset(path, "cpu") == []
    apply_preset(path, name)
    assert resolved(path) == preset_values(name)
    apply_preset(path, "cpu")
    assert resolved(path) == preset_values("cpu")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["cpu", "paper"])
def test_a_preset_writes_what_a_stage_may_no_longer_inherit(path: Path, name: str) -> None:
    """Of a stage that inherits one value, several in braces, or all, since its section is left out."""
    text = dropped(path.read_text(encoding="utf-8"), "experts", "learning_rate")
    start = text.index("  endpoint:  # An")
    text = text[:start] + "  endpoint: {}  # mine\n" + text[text.index("\n# Rationales") :]
    start = text.index("  endpoint:  # An")
    path.write_text(text[:start] + text[text.index("\n# Supervised training") :], encoding="utf-8")
    params = load_params(path)
    assert params.experts.learning_rate == params.training.learning_rate
    assert params.summarize.endpoint == params.trajectories.endpoint == params.endpoint
    apply_preset(path, name)
    assert resolved(path) == preset_values(name)
    after = path.read_text(encoding="utf-8")
    assert "}  # mine\n" in after
    apply_preset(path, "paper")
    apply_preset(path, name)
    assert path.read_text(encoding="utf-8") == after


def test_eight_gpus_read_as_many_rows_a_step_as_one() -> None:
    one, eight = preset_values("paper"), preset_values("paper-8gpu")
    for stage, step in (("global", 32), ("experts", 32), ("projector", 32), ("agent-sft", 16)):
        rows = [
            values[f"{stage}.batch_size"]
            * values[f"{stage}.gradient_accumulation"]
            * values.get("processes", 1)
            for values in (one, eight)
        ]
        assert rows == [step, step]
