"""Stage function and command `export` on the small run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import PeftModel
from small_chain import Chain
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError, DataError, MissingInputError, ModelError, StorageError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.llm import export as room
from thinkrec.llm.backbone import load_tokenizer
from thinkrec.llm.export import plain_scores
from thinkrec.stages import export as stage
from thinkrec.stages.export import export, find_adapter
from thinkrec_cli.main import run

KEPT = {"user_id", "item_id", "position", "prompt", "thinkrec", "merged", "peft", "bare"}


def test_the_command_writes_what_anybody_can_load_and_check(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (chain.copy(tmp_path).root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "copy")
    assert run(["export", "--dataset", "demo", "--adapter", "2", "--to", "out/two"]) == 0
    assert capsys.readouterr().out.startswith(
        "export of demo: written to out/two\n  dataset: demo\n  adapter: 2\n"
    )
    out = Path("out/two")
    there = ["README.md", "adapter", "merged", "parity.json", "scoring.json"]
    assert sorted(path.name for path in out.iterdir()) == there
    assert [path.name for path in out.parent.iterdir()] == ["two"]

    said = read_json(out / "parity.json")
    prompts = said["prompts"]
    assert (said["rows"], len(prompts), said["tolerance"], said["dtype"]) == (20, 20, 1e-4, "float32")
    assert all(set(line) == KEPT for line in prompts)
    own, bare = (np.array([line[name] for line in prompts]) for name in ("thinkrec", "bare"))
    assert said["largest_difference"]["bare"] == pytest.approx(np.abs(own - bare).max())
    assert said["largest_difference"]["bare"] > 0.01

    tokenizer = AutoTokenizer.from_pretrained(out / "merged")
    answers = tuple(tokenizer.convert_tokens_to_ids(["Yes", "No"]))
    assert said["answers"] == dict(zip(("Yes", "No"), answers, strict=True))
    texts = [line["prompt"] for line in prompts[:9]]
    merged = AutoModelForCausalLM.from_pretrained(out / "merged").eval()
    base = read_json(out / "adapter" / "adapter_config.json")["base_model_name_or_path"]
    model = chain.params.backbone.model
    assert base == Path(model).name
    modes = {path.name: path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
    assert modes["model.safetensors"] == modes["adapter_model.safetensors"] == modes["README.md"]
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(out / "adapter")).eval()
    for model in (merged, peft):
        found = plain_scores(model, tokenizer, texts, answers, said["score"])  # type: ignore[arg-type]
        np.testing.assert_allclose(found, own[:9], rtol=0, atol=1e-4)

    capsys.readouterr()
    assert run(["export", "--dataset", "demo", "--to", "out/two"]) == 3
    assert (
        capsys.readouterr().err
        == "error: --to: out/two is there already and is not empty; name a new folder\n"
    )


def test_the_prompts_are_those_that_were_scored(chain: Chain, tmp_path: Path) -> None:
    """Some are longer than `max_tokens`, so that a part of their history is left out."""
    tokenizer, longest = load_tokenizer(chain.layout.backbone), {}
    for most in (chain.params.prompt.max_tokens, 100):
        params = chain.params.model_copy(
            update={"prompt": chain.params.prompt.model_copy(update={"max_tokens": most})}
        )
        export(chain.layout, params, "global", tmp_path / str(most), 7)
        texts = [line["prompt"] for line in read_json(tmp_path / str(most) / "parity.json")["prompts"]]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        longest[most] = max(map(len, ids))
    assert longest[100] <= 100 < max(longest.values())


def test_a_backbone_in_four_bits_is_refused(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    facts = read_json(layout.backbone / "backbone.json")
    write_json(layout.backbone / "backbone.json", facts | {"load_in_4bit": True})
    words = (
        "an adapter can't be merged into weights of 4 bits: set backbone.load_in_4bit to false in "
        "params.yaml and run `thinkrec backbone --dataset demo`, then export again; the adapters stay valid"
    )
    with pytest.raises(ModelError, match=f"^{words}$"):
        export(layout, chain.params, "global", tmp_path / "out", 7)
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_nothing(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = room.merge

    def twice(model: Any, bank: Any) -> None:
        real(model, bank)
        real(model, bank)

    monkeypatch.setattr(room, "merge", twice)
    with pytest.raises(ModelError, match=r"^the export is not what was trained: scores of merged differ by"):
        export(chain.layout, chain.params, "global", tmp_path / "out", 7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("3", "--adapter: demo has no adapter '3'; there are global, 1, 2"),
        ("../x", "--adapter: demo has no adapter '../x'; there are global, 1, 2"),
        ("mf", "--adapter: demo has no adapter 'mf'; there are global, 1, 2"),
        (
            "thinkrec",
            "--adapter: thinkrec can't be exported: it mixes the experts for each user, and vectors "
            "are in its prompts; there are global, 1, 2",
        ),
        (
            "thinkrec-no-projector",
            "--adapter: thinkrec-no-projector can't be exported: it mixes the experts for each user, and "
            "merged weights are the same for all; there are global, 1, 2",
        ),
        ("backbone", "--adapter: backbone can't be exported: it has no adapter; there are global, 1, 2"),
    ],
)
def test_what_is_no_single_adapter_is_refused(chain: Chain, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        export(chain.layout, chain.params, name, tmp_path / "out", 7)
    assert str(error.value) == words


def test_missing_stages_are_named(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="`thinkrec prep --dataset demo` makes it"):
        export(Layout("demo", tmp_path), chain.params, "global", tmp_path / "out", 7)
    layout = chain.copy(tmp_path)
    layout.experts.rename(tmp_path / "experts")
    with pytest.raises(MissingInputError, match="`thinkrec experts --dataset demo` makes it"):
        find_adapter(layout, "1")
    with pytest.raises(ConfigError, match=r"has no adapter 'one'; there are global$"):
        find_adapter(layout, "one")
    layout.global_adapter.rename(tmp_path / "global")
    with pytest.raises(MissingInputError, match="`thinkrec global --dataset demo` makes it"):
        find_adapter(layout, "global")
    with pytest.raises(ConfigError, match="there is none yet: `thinkrec global --dataset demo` makes one"):
        find_adapter(layout, "one")


def test_a_place_that_is_taken_is_refused_and_an_empty_one_is_not(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--to: .*file is a file; name a new folder$"):
        stage.check_free(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    stage.check_free(tmp_path / "empty")
    stage.check_free(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    with pytest.raises(
        StorageError, match=f"^cannot write {tmp_path}/file/new: {tmp_path}/file is a file, not"
    ):
        stage.check_free(tmp_path / "file" / "new")


def test_without_test_rows_there_is_no_proof_and_no_export(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PROMPTS", 0)
    with pytest.raises(
        DataError, match=r"interactions.parquet has no test row, on which the export could be"
    ):
        export(chain.layout, chain.params, "global", tmp_path / "out", 7)


def test_damaged_and_stale_adapters_are_not_exported(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = chain.copy(tmp_path)
    params = layout.root / "params.yaml"
    params.write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(layout.root)
    for adapter, folder, maker in (
        ("global", layout.global_adapter, "global"),
        ("1", layout.expert(1), "experts"),
    ):
        path = folder / "adapter_model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert run(["export", "--dataset", "demo", "--adapter", adapter, "--to", "out"]) == 6
        assert f"run `thinkrec {maker} --dataset demo` again" in capsys.readouterr().err
        path.write_bytes(content)
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("score: yes_minus_no", "score: yes_logit"), encoding="utf-8")
    assert run(["export", "--dataset", "demo", "--to", "out"]) == 6
    assert "was made with loss.score: 'yes_minus_no'" in capsys.readouterr().err
    params.write_text(text, encoding="utf-8")
    layout.manifest("global").unlink()
    assert run(["export", "--dataset", "demo", "--to", "out"]) == 6
    assert not Path("out").exists()


def test_no_export_goes_among_the_artifacts(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    with pytest.raises(ConfigError, match="among the artifacts; name a folder elsewhere"):
        export(layout, chain.params, "global", layout.backbone / "sub", 7)
