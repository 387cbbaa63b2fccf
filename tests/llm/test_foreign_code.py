"""No code of a model's or an adapter's folder ever runs, whatever is typed; pickled weights are not read."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import write_adapter, write_model
from safetensors.torch import load_file
from small_chain import Chain

from thinkrec.agent.load import load_agent_backbone
from thinkrec.config.write import params_text
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import load_bank, load_peft
from thinkrec.llm.backbone import Backbone, check_source, load_backbone, load_tokenizer
from thinkrec.stages.backbone import make_backbone
from thinkrec_cli.main import run

OWN: dict[str, dict[str, Any]] = {
    "config.json": {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    },
    "tokenizer_config.json": {
        "tokenizer_class": "Evil",
        "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
    },
}
KNOWN = {"config.json": {"auto_map": {"AutoConfig": "evil.Evil"}}}
"""An architecture that transformers has itself, with code beside it."""
KERNEL = {"config.json": {"attn_implementation": "somebody/kernel"}}
COMMAND = "import sys; from thinkrec_cli.main import run; sys.exit(run(['backbone', '--dataset', 'demo']))"
CASES = [
    *({name: change} for name, change in OWN.items()), OWN, KNOWN, KERNEL,
]  # fmt: skip


def planted(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    """A model folder whose configurations name a Python file, which leaves a mark where it runs."""
    write_model(folder, "qwen3")
    marker = folder.parent / "marker"
    (folder / "evil.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nclass Evil:\n    @classmethod\n"
        "    def from_pretrained(cls, *args, **kwargs):\n        raise SystemExit(0)\n",
        encoding="utf-8",
    )
    generate = folder / "custom_generate"
    generate.mkdir()
    (generate / "generate.py").write_text((folder / "evil.py").read_text() + "def generate(**_): ...\n")
    for name, change in changes.items():
        write_json(folder / name, read_json(folder / name) | change)
    return marker


def noted(layout: Layout, model: Path) -> Layout:
    """backbone.json and agent-backbone's name this folder."""
    for folder in (layout.backbone, layout.agent_backbone):
        facts = {"model": str(model), "revision": None, "dtype": "float32", "load_in_4bit": False}
        write_json(folder / "backbone.json", facts)
    return layout


def test_no_option_lets_code_run() -> None:
    """Nobody can ask for it: wherever transformers chooses a class, the code of a folder is refused."""
    root, choosing = Path(__file__).parents[2], []
    for path in sorted([*(root / "thinkrec").rglob("*.py"), *(root / "cli").glob("*.py")]):
        text = path.read_text(encoding="utf-8")
        given = re.findall(r"trust_remote_code\W+(\w+)", text)
        if re.search(r"\bAuto(Config|Tokenizer|Model\w*)\.from_(pretrained|config)", text):
            choosing.append(path.name)
            assert given, f"{path} leaves it to transformers, which may ask"
        assert set(given) <= {"False"}, path
    assert {"backbone.py", "export.py", "sources.py", "vectors.py"} <= set(choosing)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_command_runs_no_code_whatever_is_typed(
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """One case in a process of its own, whose standard input is a pipe."""
    layout, model, changes = chain.copy(tmp_path), tmp_path / "planted" / "model", CASES[number]
    marker = planted(model, changes)
    section = chain.params.backbone.model_copy(update={"model": str(model)})
    params = chain.params.model_copy(update={"backbone": section})
    (layout.root / "params.yaml").write_text(params_text(params), encoding="utf-8")
    if changes is OWN:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND],
            cwd=layout.root, input="y\n" * 9, capture_output=True, text=True, timeout=120,
            env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")},
        )  # fmt: skip
        code, out, error = done.returncode, done.stdout, done.stderr
    else:
        monkeypatch.chdir(layout.root)
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
        code = run(["backbone", "--dataset", "demo"])
        out, error = capsys.readouterr()
    assert (code, marker.exists()) == (6, False), error
    assert len(error.strip().splitlines()) == 1
    assert str(model / next(iter(changes))) in error
    assert "runs no code of a model's folder" in error
    assert "[y/N]" not in out + error


@pytest.mark.parametrize("changes", CASES)
def test_no_later_load_runs_code(
    chain: Chain, tmp_path: Path, changes: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    marker = planted(tmp_path / "model", changes)
    layout = noted(chain.copy(tmp_path), tmp_path / "model")
    loads: tuple[Callable[[], Any], ...] = (
        lambda: load_backbone(layout.backbone),
        lambda: load_tokenizer(layout.backbone),
        lambda: load_agent_backbone(layout),
        lambda: check_source(str(tmp_path / "model")),
    )
    for load in loads:
        with pytest.raises(ModelError) as caught:
            load()
        assert str(caught.value).startswith(
            f"{tmp_path / 'model' / next(iter(changes))} needs its own code ("
        )
        assert not marker.exists()


def test_an_adapter_is_no_backbone(tmp_path: Path, chain: Chain) -> None:
    """transformers would load its weights into the base model that it names."""
    folder = tmp_path / "model"
    shutil.copytree(chain.params.backbone.model, folder)
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "elsewhere", "peft_type": "LORA"})
    with pytest.raises(ModelError, match="makes this an adapter"):
        check_source(str(folder))


def test_code_that_no_configuration_names_is_left_alone(tmp_path: Path, chain: Chain) -> None:
    marker = planted(tmp_path / "model", {})
    found = load_backbone(noted(chain.copy(tmp_path), tmp_path / "model").backbone)
    assert found.model.config.model_type == "qwen3"
    assert not marker.exists()


class _Marks:
    """Leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("evil", [False, True])
def test_pickled_weights_are_not_read(chain: Chain, tmp_path: Path, evil: bool) -> None:
    model, marker = tmp_path / "model", tmp_path / "marker"
    write_model(model, "qwen3")
    weights: dict[str, Any] = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(weights | ({"evil": _Marks(marker)} if evil else {}), model / "pytorch_model.bin")
    layout, params = noted(chain.copy(tmp_path), model), chain.params
    said = rf"^{model / 'pytorch_model.bin'} holds pickled weights"
    with pytest.raises(ModelError, match=said):
        load_backbone(layout.backbone)
    with pytest.raises(ModelError, match=said):
        make_backbone(layout, params.backbone.model_copy(update={"model": str(model)}), params.prompt)
    assert not marker.exists()


@pytest.mark.parametrize("key", ["auto_map", "megatron_config", "corda_config"])
def test_an_adapter_brings_no_code_along(loaded: Backbone, tmp_path: Path, key: str) -> None:
    folder = write_adapter(tmp_path / "adapter", loaded, 1)
    config = folder / "adapter_config.json"
    write_json(config, read_json(config) | {key: {"AutoConfig": "evil.Evil"}})
    for load in (lambda: load_peft(loaded, folder), lambda: load_bank([folder], loaded)):
        with pytest.raises(ModelError, match=rf"^{config} needs its own code or files \({key}\)"):
            load()


def test_a_pickled_adapter_is_not_read(loaded: Backbone, tmp_path: Path) -> None:
    folder, marker = write_adapter(tmp_path / "adapter", loaded, 1), tmp_path / "marker"
    (folder / "adapter_model.safetensors").unlink()
    torch.save({"evil": _Marks(marker)}, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=rf"^adapter {folder} can't be read"):
        load_peft(loaded, folder)
    assert not marker.exists()
