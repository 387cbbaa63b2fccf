"""What may stand under the adapters, and what is said of all else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import TEXTS, bpe_of_words, load_family
from small_chain import Chain, own_backbone
from small_llama import CHAT_TEMPLATE, train_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from thinkrec.config.sections import Backbone as Section
from thinkrec.config.sections import Prompt
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.llm.backbone import (
    Backbone,
    check_source,
    count_weights,
    load_backbone,
    loading,
    prepare_tokenizer,
)
from thinkrec.prompts.tokens import ITEM_TOKEN, USER_TOKEN, answer_ids, chat
from thinkrec.stages.backbone import make_backbone


def without_answers() -> PreTrainedTokenizerFast:
    """A byte-level BPE that never saw Yes or No."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(["tide anchor"], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def test_an_answer_of_several_tokens_is_refused() -> None:
    with pytest.raises(ModelError) as error:
        answer_ids(without_answers())
    assert str(error.value) == (
        "the backbone's tokenizer writes the answer 'Yes' as 3 tokens ['Y', 'e', 's'], and the score is the "
        "logit of one: with prompt.verdicts before it can't be used; choose another backbone in params.yaml "
        "(backbone.model)"
    )


def test_both_answers_must_be_one_token() -> None:
    tokenizer = without_answers()
    tokenizer.add_tokens(["Yes"])
    with pytest.raises(ModelError, match="writes the answer 'No' as 2 tokens"):
        answer_ids(tokenizer)


@pytest.mark.parametrize("kind", ["bytes", "words"])
def test_an_answer_is_the_token_that_stands_behind_the_prompt(kind: str) -> None:
    tokenizer = train_tokenizer(TEXTS, 600) if kind == "bytes" else bpe_of_words()
    yes, no = answer_ids(tokenizer)
    assert yes != no
    prompt = chat(tokenizer, "x")
    for word, token in (("Yes", yes), ("No", no)):
        ids = tokenizer(prompt + word, add_special_tokens=False)["input_ids"]
        assert ids[-1] == token
        assert ids[:-1] == tokenizer(prompt, add_special_tokens=False)["input_ids"]


def test_without_a_chat_template_a_prompt_ends_with_its_question() -> None:
    tokenizer = train_tokenizer(TEXTS, 600)
    tokenizer.chat_template = None
    assert chat(tokenizer, "x") == "<|im_start|>x\nAnswer:\n"
    assert answer_ids(tokenizer)


def test_placeholders_are_one_token_each_and_no_text_gives_them() -> None:
    tokenizer = train_tokenizer(TEXTS, 600)
    size = len(tokenizer)
    prepare_tokenizer(tokenizer)
    prepare_tokenizer(tokenizer)
    assert tokenizer.convert_tokens_to_ids([USER_TOKEN, ITEM_TOKEN]) == [size, size + 1]
    assert len(tokenizer) == size + 2


def test_every_family_loads_frozen_and_knows_its_tokens(family: Backbone) -> None:
    assert not any(weight.requires_grad for weight in family.model.parameters())
    assert not family.model.training
    assert family.head.shape[1] == family.model.config.hidden_size
    assert len({*family.placeholders, *family.answers, family.pad}) == 5
    assert family.model.dtype == torch.float32


def test_a_backbone_that_is_not_there_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        check_source(str(tmp_path / "nowhere"))
    said = str(error.value)
    assert said.startswith(f"backbone '{tmp_path}/nowhere' can't be loaded (")
    assert said.endswith(
        "): set backbone.model in params.yaml to `smollm2`, a folder that holds a Hugging Face model, a GGUF "
        "file, or a hub name that this machine can reach"
    )


def gpt2(folder: Path) -> Path:
    GPT2LMHeadModel(GPT2Config(vocab_size=600, n_embd=16, n_layer=1, n_head=2)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tokenizer", [True, False])
def test_another_family_is_refused(tmp_path: Path, tokenizer: bool) -> None:
    folder = gpt2(tmp_path / "gpt2")
    if tokenizer:
        train_tokenizer(TEXTS, 600).save_pretrained(folder)
    with pytest.raises(ModelError) as error:
        check_source(str(folder))
    assert str(error.value) == (
        f"backbone '{folder}' is a gpt2 model; supported: llama, qwen2, qwen3, mistral: set "
        "backbone.model to one of these"
    )


def test_a_refused_backbone_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    for name in (str(tmp_path / "nowhere"), str(gpt2(tmp_path / "gpt2"))):
        with pytest.raises(ModelError):
            make_backbone(layout, Section(model=name), Prompt())
        assert not layout.backbone.exists()
        assert not layout.models.exists()


def test_a_folder_is_noted_and_not_copied(tmp_path: Path) -> None:
    load_family(tmp_path, "qwen3")
    layout = Layout("demo", tmp_path)
    facts = make_backbone(layout, Section(model=str(tmp_path / "qwen3")), Prompt(verdicts="before"))
    noted = {"model": str(tmp_path / "qwen3"), "revision": None, "dtype": "float32", "load_in_4bit": False}
    assert facts == noted
    assert read_json(layout.backbone / "backbone.json") == {**noted, "verdicts": "before"}
    assert [path.name for path in layout.backbone.iterdir()] == ["backbone.json"]


CONFIGS: list[dict[str, Any]] = [
    {"hidden_size": 33},
    {"num_hidden_layers": None},
    {"vocab_size": -5},
    {"rope_parameters": {"rope_type": "nope"}},
    {"hidden_act": "nope"},
    {"dtype": "float99"},
]
FILES = {
    "tokenizer.json": ["{}", "[]"],
    "chat_template.jinja": ["{% if %}", "{{ raise_exception('no such role') }}"],
}


@pytest.mark.parametrize(
    ("file", "content"),
    [("config.json", each) for each in CONFIGS] + [(file, each) for file in FILES for each in FILES[file]],
    ids=str,
)
def test_a_broken_folder_is_a_clear_error(chain: Chain, tmp_path: Path, file: str, content: Any) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(chain.params.backbone.model, folder)
    if isinstance(content, dict):
        write_json(folder / file, read_json(folder / file) | content)
    else:
        (folder / file).write_text(content)
    with pytest.raises(ModelError) as error:
        check_source(str(folder))
        count_weights(str(folder))
    words = (
        rf"backbone '{folder}' can't be loaded \(.*[a-z]{{4}}.*\): set backbone\.model in params\.yaml to .*"
    )
    assert re.fullmatch(words, str(error.value))


def test_why_a_folder_is_broken() -> None:
    for error, reason in (
        (KeyError("nope"), "KeyError: 'nope'"),
        (OSError("no file\nlong advice"), "no file"),
        (ValueError("wrong field:\n    expected int"), "wrong field: expected int"),
        (AssertionError(), "AssertionError"),
    ):
        with pytest.raises(ModelError) as found, loading("x", "mend it"):
            raise error
        assert str(found.value) == f"x can't be loaded ({reason}): mend it"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA error: out of memory"), ModelError("own words")], ids=repr
)
def test_full_memory_and_errors_of_our_own_are_no_broken_folder(error: Exception) -> None:
    with pytest.raises(type(error)) as found, loading("x"):
        raise error
    assert found.value is error


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_weights_that_cannot_be_read_are_a_clear_error(
    chain: Chain, tmp_path: Path, content: bytes | None
) -> None:
    layout = chain.copy(tmp_path)
    weights = own_backbone(layout) / "model.safetensors"
    weights.unlink() if content is None else weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"^backbone '.*' can't be loaded \(.+\): set backbone.model in "):
        load_backbone(layout.backbone)
