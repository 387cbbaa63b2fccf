"""Where the tiny backbone's weights start: random, but for a circuit that matches words in context.

Inferring a taste from examples in the prompt takes three attention steps on top of each other. A large
model has them from its pre-training; from random weights they do not emerge within two minutes on a
CPU (docs/experiments.md). So one head of each of the first three layers starts near what it should
learn, as mimetic initialisation does with single layers (Trockman and Kolter, 2023), and pre-training
goes on from there:

1. each token finds the verdict word of its own line (Liked, Disliked, Met, Next);
2. each token finds words that occur near the same words, and takes over their verdicts;
3. the answer collects what the words of the target found.

Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from thinkrec.prompts.tokens import answer_ids, encode_texts

HEAD = 32  # width of a head
SLOW = 8  # rotary frequencies from this index on hardly turn over a prompt's length
MEANING = 16  # dimensions for what a word means: the slow half of one head
ROPE_THETA = 1e5
COMMON = 0.15  # a token in more than this share of the texts has no meaning of its own


@dataclass(frozen=True)
class Slots:
    """Residual dimensions with a task at the start; all others are random."""

    valence: int = MEANING  # +1 Liked, -1 Disliked, of the verdict word itself
    verdict: int = MEANING + 1  # is a verdict word
    constant: int = MEANING + 2  # the same for every token
    following: int = MEANING + 3  # is the word Next
    line_valence: int = MEANING + 4  # what step 1 finds
    line_following: int = MEANING + 5
    evidence: int = MEANING + 6  # what step 2 finds
    answer: int = MEANING + 7  # what step 3 finds; read by the rows Yes and No of the head


def token_meanings(tokenizer: PreTrainedTokenizerBase, texts: list[str], seed: int) -> np.ndarray:
    """Vectors of tokens by the texts they occur in, [V, MEANING], unit length or zero."""
    counts = np.zeros((len(texts), len(tokenizer)), dtype=np.float32)
    for row, ids in enumerate(encode_texts(tokenizer, texts)):
        np.add.at(counts[row], ids, 1)
    common = (counts > 0).mean(0) > COMMON
    counts[:, common] = 0
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    size = min(MEANING, min(weighted.shape) - 1)
    svd = TruncatedSVD(size, random_state=seed).fit(weighted)
    vectors = (svd.components_ * svd.singular_values_[:, None]).T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6
    return np.pad(vectors, ((0, 0), (0, MEANING - size)))


def _first_ids(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[int]:
    return [ids[0] for ids in encode_texts(tokenizer, words)]


def _slow_dimensions() -> Tensor:
    """Dimensions of a head that hardly rotate: Llama pairs dimension i with i + HEAD / 2."""
    slow = torch.arange(SLOW, HEAD // 2)
    return torch.cat([slow, slow + HEAD // 2])


def set_embeddings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, meanings: np.ndarray) -> None:
    """Write meanings, verdict words and answer words into the (tied) embeddings."""
    slots, table = Slots(), cast(Tensor, model.get_input_embeddings().weight)
    liked, disliked, met, following = _first_ids(tokenizer, ["Liked", "Disliked", "Met", "Next"])
    yes, no = answer_ids(tokenizer)
    special = slice(0, slots.answer + 1)
    with torch.no_grad():
        rest = table.shape[1] - slots.answer - 1
        table.normal_(0, 0.5 / rest**0.5)
        table[:, special] = 0
        table[: len(meanings), :MEANING] = torch.as_tensor(meanings, dtype=table.dtype)
        table[:, slots.constant] = 0.5
        for token, valence in ((liked, 1.0), (disliked, -1.0), (met, 0.0), (following, 0.0)):
            table[token, :MEANING] = 0
            table[token, slots.valence] = valence
            table[token, slots.verdict] = 1.0
        table[following, slots.following] = 1.0
        table[yes, slots.answer], table[no, slots.answer] = 0.5, -0.5


def set_circuit(model: LlamaForCausalLM) -> None:
    """Write the three steps into head 0 of the first three layers."""
    slots = Slots()
    attention = [layer.self_attn for layer in model.model.layers[:3]]
    near = torch.arange(3, 7)  # rotary frequencies whose sum falls off over some ten tokens
    slow = _slow_dimensions()
    with torch.no_grad():
        for part in attention:
            for projection in (part.q_proj, part.k_proj, part.v_proj):
                projection.weight[:HEAD] *= 0.1
            part.o_proj.weight[:, :HEAD] *= 0.1
        line, match, collect = attention
        line.q_proj.weight[near, slots.constant] = 2.0
        line.k_proj.weight[near, slots.verdict] = 2.0
        line.v_proj.weight[0, slots.valence] = 0.5
        line.v_proj.weight[1, slots.following] = 0.5
        line.o_proj.weight[slots.line_valence, 0] = 0.5
        line.o_proj.weight[slots.line_following, 1] = 0.5
        meaning = torch.arange(MEANING)
        match.q_proj.weight[slow, meaning] = 1.2
        match.k_proj.weight[slow, meaning] = 1.2
        match.v_proj.weight[0, slots.line_valence] = 0.7
        match.o_proj.weight[slots.evidence, 0] = 0.7
        collect.q_proj.weight[slow[:4], slots.constant] = 2.0
        collect.k_proj.weight[slow[:4], slots.line_following] = 2.0
        collect.v_proj.weight[0, slots.evidence] = 1.0
        collect.o_proj.weight[slots.answer, 0] = 1.0
