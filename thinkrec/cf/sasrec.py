"""SASRec: the user as causal self-attention over the latest items."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from thinkrec.cf.encoder import Encoder, augment_item, augment_user, table
from thinkrec.cf.examples import Examples, Known, Shape, window_examples
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

_BLOCKS, _HEADS, _DROPOUT = 2, 1, 0.2
_WINDOWS_PER_ITEM = 2
_BATCH = 256  # fits a core's cache; 1,024 took 1.6 times as long


class SASRec(Encoder):
    """Two blocks of causal self-attention over the user's latest L items, liked or not.

    Histories are left-aligned: position 0 is the oldest item, the last item's output is the user's vector.
    So one pass over a window gives the vectors at all its positions, which training uses. An empty history
    gives zero, so that scores are the items' biases. Unknown items are skipped; unknown users are scored
    by their history.

    Args:
        shape: the encoder's size.
        known: users and items of train.
        seed: random seed of the initial weights.

    Source: Kang, McAuley 2018; length, blocks, heads, dropout: the release; loss on labels: the paper;
    item bias and windows: our choice.
    """

    name = "sasrec"
    mixed_precision = True
    reads_history: ClassVar[Literal["none", "latest", "all"]] = "latest"
    reads_labels: ClassVar[bool] = False
    causal: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the initial weights."""
        super().__init__(shape, known)
        width, length = shape.width, shape.history_length
        self.item = table(known.items, width, 2 * seed, spread=0.02)
        self.item_bias = table(known.items, 1, 0, spread=0)
        self.position = table(length + 1, width, 2 * seed + 1, spread=0.02)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            block = nn.TransformerEncoderLayer(
                width, _HEADS, dim_feedforward=width, dropout=_DROPOUT, batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(
                block, _BLOCKS, nn.LayerNorm(width), enable_nested_tensor=False
            )
        self.dropout = nn.Dropout(_DROPOUT)
        self.register_buffer("causal", torch.ones(length, length).triu(1).bool(), persistent=False)

    def examples(self, data: Interactions) -> Examples:
        """Build windows that start L / 2 rows apart: each item is read about twice, not L times."""
        length = self.shape.history_length
        return window_examples(data, length, step=-(-length // _WINDOWS_PER_ITEM))

    def embed_history(self, history: Tensor, feedback: Tensor) -> Tensor:
        """Embed the history items, [n, L, d]."""
        return embedding(history, self.item)

    def states(self, history: Tensor, feedback: Tensor) -> Tensor:
        """Compute the user's vectors after 0, 1, ..., L items.

        Shapes: `history` [n, L] compact item rows, padded with 0 on the right, `feedback` [n, L] as in
        `Examples`; returns [n, L + 1, d].
        """
        x = self.dropout(self.embed_history(history, feedback) + self.position[1:])
        x = self.blocks(x, mask=self.causal, is_causal=True)
        return pad(x, (0, 0, 1, 0))

    def forward(self, batch: Examples) -> Tensor:
        """Compute the logits of all targets, [n, L + 1]; target t follows t items."""
        return self.logits(self.states(self.item_index[batch.history], batch.feedback), batch)

    def logits(self, vector: Tensor, batch: Examples) -> Tensor:
        """Compute the logits of all targets, [n, L + 1], given the users' vectors, [n, L + 1, d]."""
        index = self.item_index[batch.item]
        product = (vector * embedding(index, self.item)).sum(-1)
        return product + embedding(index, self.item_bias)[..., 0] + self.mean

    def target_vectors(self, vector: Tensor, batch: Examples) -> Tensor:
        """Compute the users' augmented vectors at the targets, [n, L + 1, d + 2]."""
        return augment_user(vector, torch.zeros_like(batch.label))

    def encode(self, data: Interactions, index: np.ndarray) -> Tensor:
        """Encode histories given as row numbers [n, L], oldest first, -1 for padding; [n, d]."""
        parts = np.split(index, range(_BATCH, len(index), _BATCH))
        return torch.cat([self._encode(data, part) for part in parts])

    def _encode(self, data: Interactions, index: np.ndarray) -> Tensor:
        present, row = index >= 0, np.maximum(index, 0)
        history = self.item_index[self.tensor(np.where(present, data.item_id[row], 0))]
        feedback = self.tensor(np.where(present, data.label[row] + 1, 0))
        # Skipped items leave gaps: a stable sort along L moves the others left and keeps their order.
        read = feedback > 0 if self.reads_labels else history > 0
        order = (~read).to(torch.int8).argsort(dim=1, stable=True)
        states = self.states(history.gather(1, order), feedback.gather(1, order))
        length = read.sum(1)
        # Of [n, L + 1, d] take each history's state after its last item, [n, d].
        return states[torch.arange(len(history), device=length.device), length].float()

    def row_vectors(self, data: Interactions, rows: np.ndarray, protocol: Protocol) -> Tensor:
        """Compute augmented vectors from the latest L items strictly before each row, [n, d + 2]."""
        vector = self.encode(data, data.histories(rows, self.shape.history_length, protocol))
        return augment_user(vector, torch.zeros_like(vector[:, 0]))

    def user_vectors(self, data: Interactions) -> Tensor:
        """Compute augmented vectors from train's latest L items, [Ku + 1, d + 2]; row 0: empty history.

        Rows of valid and test are skipped even if they lie between those of train.
        """
        vector = self.encode(data, self.latest_rows(data))
        return augment_user(vector, torch.zeros_like(vector[:, 0]))

    def latest_rows(self, data: Interactions) -> np.ndarray:
        """Find the row numbers of each known user's latest L rows of train, [Ku + 1, L], -1 for padding."""
        rows = data.rows("train")
        users = data.user_id[rows]
        ends = np.flatnonzero(np.diff(users, append=-1) != 0)
        window = ends[:, None] + np.arange(1 - self.shape.history_length, 1)
        same_user = (window >= 0) & (users[window] == users[ends][:, None])
        index = np.where(same_user, rows[window], -1)
        empty = np.full((1, self.shape.history_length), -1)
        return np.concatenate([empty, index])

    def item_vectors(self) -> Tensor:
        """Return [item vector, 1, b_i], [Ki + 1, d + 2]."""
        return augment_item(self.item, self.item_bias[:, 0])
