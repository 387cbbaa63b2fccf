"""Initial weights of the tiny backbone: random, except for a circuit that matches words in context.

Inferring preferences from examples in the prompt takes three successive attention steps. A large model
learns them in pre-training; from random weights they do not emerge within two minutes on a CPU
(docs/experiments.md). So one head in each of the first three layers is initialised close to what it should
learn, as mimetic initialisation does for single layers (Trockman and Kolter, 2023), and pre-training
continues from there:

1. each token attends to the first word of its own line (Liked, Disliked, Rated, Next);
2. each token attends to tokens of similar meaning and copies the verdicts of their lines;
3. the answer collects what the tokens of the target copied.

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

LINE_STARTS = ("Liked", "Disliked", "Rated", "Next")
"""First words of the lines about items in prompts/score.j2 and turn.j2; see `render.Line.verdict`."""
HEAD = 32  # width of a head
SLOW = 8  # rotary frequencies from this index on hardly rotate over the length of a prompt
MEANING = 16  # dimensions of a token's meaning: the slow half of one head
ROPE_THETA = 1e5
COMMON = 0.15  # a token in more than this share of the texts carries no meaning


@dataclass(frozen=True)
class Slots:
    """Residual dimensions with an initial role; all others are random."""

    valence: int = MEANING  # +1 for the token Liked, -1 for Disliked
    verdict: int = MEANING + 1  # is one of LINE_STARTS
    constant: int = MEANING + 2  # the same for every token
    target: int = MEANING + 3  # is the token Next
    line_valence: int = MEANING + 4  # result of step 1
    line_target: int = MEANING + 5
    evidence: int = MEANING + 6  # result of step 2
    answer: int = MEANING + 7  # result of step 3; read by the output rows of Yes and No


def token_meanings(tokenizer: PreTrainedTokenizerBase, texts: list[str], seed: int) -> np.ndarray:
    """Return vectors of tokens from the texts they occur in, [V, MEANING], of unit length or zero.

    Source: latent semantic analysis, TF-IDF and a truncated SVD.
    """
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


def _slow_dimensions() -> Tensor:
    """Return the dimensions of a head that hardly rotate: Llama pairs dimension i with i + HEAD / 2."""
    slow = torch.arange(SLOW, HEAD // 2)
    return torch.cat([slow, slow + HEAD // 2])


def set_embeddings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, meanings: np.ndarray) -> None:
    """Write meanings, line starts and answer words into the (tied) embeddings."""
    slots, table = Slots(), cast(Tensor, model.get_input_embeddings().weight)
    liked, disliked, rated, following = (ids[0] for ids in encode_texts(tokenizer, list(LINE_STARTS)))
    yes, no = answer_ids(tokenizer)
    special = slice(0, slots.answer + 1)
    with torch.no_grad():
        rest = table.shape[1] - slots.answer - 1
        table.normal_(0, 0.5 / rest**0.5)
        table[:, special] = 0
        table[: len(meanings), :MEANING] = torch.as_tensor(meanings, dtype=table.dtype)
        table[:, slots.constant] = 0.5
        for token, valence in ((liked, 1.0), (disliked, -1.0), (rated, 0.0), (following, 0.0)):
            table[token, :MEANING] = 0
            table[token, slots.valence] = valence
            table[token, slots.verdict] = 1.0
        table[following, slots.target] = 1.0
        table[yes, slots.answer], table[no, slots.answer] = 0.5, -0.5


def set_circuit(model: LlamaForCausalLM) -> None:
    """Write the three steps into head 0 of the first three layers."""
    slots = Slots()
    attention = [layer.self_attn for layer in model.model.layers[:3]]
    near = torch.arange(3, 7)  # rotary frequencies whose sum decays over about ten tokens
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
        line.v_proj.weight[1, slots.target] = 0.5
        line.o_proj.weight[slots.line_valence, 0] = 0.5
        line.o_proj.weight[slots.line_target, 1] = 0.5
        meaning = torch.arange(MEANING)
        match.q_proj.weight[slow, meaning] = 1.2
        match.k_proj.weight[slow, meaning] = 1.2
        match.v_proj.weight[0, slots.line_valence] = 0.7
        match.o_proj.weight[slots.evidence, 0] = 0.7
        collect.q_proj.weight[slow[:4], slots.constant] = 2.0
        collect.k_proj.weight[slow[:4], slots.line_target] = 2.0
        collect.v_proj.weight[0, slots.evidence] = 1.0
        collect.o_proj.weight[slots.answer, 0] = 1.0
