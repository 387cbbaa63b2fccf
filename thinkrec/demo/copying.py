"""Initial weights of the agent's tiny backbone: random, except for a circuit that copies from the context.

To rank, the agent repeats the order of a tool's answer. Copying from context takes two successive attention
heads (an induction head: Olsson et al. 2022). Large models have them; from random weights they do not emerge
within minutes on a CPU (docs/experiments.md). So one head in each of the first two layers is initialised
close to what it should learn, as in mimetic initialisation (Trockman and Kolter, 2023), and training
continues from there:

1. each token stores which token precedes it;
2. each token attends to what followed its earlier occurrence, and predicts that token.

Our choice.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

HEAD = 32  # width of a head
OWN = 32  # last dimensions of the residual stream, reserved for the circuit
SLOW = 9  # rotary frequencies from this index on hardly rotate over an episode's length
FAST = 8  # rotary frequencies that distinguish adjacent positions
ROPE_THETA = 1e5
SHARP, MATCH, KEPT = 6.0, 3.4, 0.05  # gains: attention of step 1, attention of step 2, value of step 1


def set_copying(model: LlamaForCausalLM) -> None:
    """Write both steps into head 0 of the first two layers, and clear the reserved embedding dimensions."""
    table = cast(Tensor, model.get_input_embeddings().weight)
    width = table.shape[1]
    tokens, before, constant = width - OWN, width - OWN, width - 1
    turn = ROPE_THETA ** (-torch.arange(HEAD // 2) / (HEAD // 2))
    slow = torch.arange(SLOW, HEAD // 2)
    dimensions = torch.cat([slow, slow + HEAD // 2])
    size = len(dimensions)
    mix = torch.randn(size, tokens) / math.sqrt(size)
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    with torch.no_grad():
        table.normal_(0, 1 / math.sqrt(tokens))
        table[:, tokens:] = 0
        table[:, constant] = 0.5
        for part in (first, second):
            for projection in (part.q_proj, part.k_proj, part.v_proj):
                projection.weight[:HEAD] = 0
            part.o_proj.weight[:, :HEAD] = 0
        for k in range(FAST):  # a constant query rotated by one position: highest for the preceding key
            first.k_proj.weight[k, constant] = SHARP
            first.q_proj.weight[k, constant] = SHARP * torch.cos(turn[k])
            first.q_proj.weight[k + HEAD // 2, constant] = -SHARP * torch.sin(turn[k])
        first.v_proj.weight[:size, :tokens] = KEPT * mix
        second.q_proj.weight[dimensions, :tokens] = mix
        for k, dimension in enumerate(dimensions.tolist()):
            first.o_proj.weight[before + k, k] = 1.0
            second.k_proj.weight[dimension, before + k] = MATCH
        # A random projection and its transpose: the head's output approximates the embedding it attends to.
        copied = torch.randn(HEAD, tokens) / math.sqrt(HEAD)
        second.v_proj.weight[:HEAD, :tokens] = copied
        second.o_proj.weight[:tokens, :HEAD] = copied.T
