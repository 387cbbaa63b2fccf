"""Sentence vectors of a small random encoder, and of the real MiniLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thinkrec.data.minilm import fetch_minilm
from thinkrec.errors import DataError, ModelError
from thinkrec.metrics.reasons.measure import Tools
from thinkrec.metrics.reasons.vectors import SentenceVectors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "they", "like", "films", "and", "books", "."]


def make_encoder(folder: Path) -> Path:
    """Save a BERT of two layers with random weights."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def test_vectors_are_means_over_tokens_whatever_the_padding(encoder: Path) -> None:
    vectors = SentenceVectors(encoder)
    texts = ["they like films and books.", "films", "", "books books " * 200]
    found = vectors.encode(texts)
    assert found.shape == (4, 16) and np.linalg.norm(found, axis=1) == pytest.approx([1.0] * 4)
    for text, vector in zip(texts, found, strict=True):
        ids = torch.tensor([vectors.tokenizer(text, truncation=True, max_length=256)["input_ids"]])
        with torch.no_grad():
            mean = vectors.model(ids).last_hidden_state.mean(1)[0]
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
    assert vectors.encode([]).shape == (0, 0)


def test_similarity(encoder: Path) -> None:
    vectors = SentenceVectors(encoder)
    same, other, empty, again = vectors.similarity(
        ["they like films", "they like films", "", "films"],
        ["They like FILMS", "books and books", "films", "books"],
    )
    assert same == pytest.approx(1.0, abs=1e-6) and -1 <= other < 0.999 and np.isnan(empty)
    assert again == pytest.approx(
        float(vectors.encode(["films"])[0] @ vectors.encode(["books"])[0]), abs=1e-6
    )
    with pytest.raises(ValueError, match="zip"):
        vectors.similarity(["a"], [])


def test_a_folder_that_is_no_model_is_stated(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(ModelError, match="run `thinkrec fetch minilm`, or name another folder"):
        SentenceVectors(tmp_path)
    found = Tools.load(tmp_path, tmp_path, None).similarity
    assert isinstance(found, str) and found.startswith(f"evaluate.sentence_model: {tmp_path} can't be read")
    assert not isinstance(Tools.load(tmp_path, encoder, None).similarity, str)


def test_a_pickle_is_not_read(tmp_path: Path, encoder: Path) -> None:
    for path in encoder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError):
        SentenceVectors(tmp_path)


@pytest.mark.slow
def test_the_real_minilm(tmp_path: Path) -> None:
    try:
        fetch_minilm(tmp_path)
    except DataError as error:
        pytest.skip(str(error))
    vectors = SentenceVectors(tmp_path)
    said = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    found = vectors.similarity(["That is a happy person"] * 3, said)
    assert found == pytest.approx([0.695, 0.943, 0.257], abs=5e-4)  # what this model gave here
