"""SASRec: the user as what causal self-attention makes of the latest items."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from thinkrec.cf.encoder import Encoder, item_side, table, user_side
from thinkrec.cf.examples import Examples, Known, Shape, stretch_examples
from thinkrec.data.tables import HistoryMode, Interactions

_BLOCKS, _HEADS, _DROPOUT = 2, 1, 0.2
_STEPS = 2
_ROWS_AT_ONCE = 256  # as much as a core's cache holds; 1,024 took 1.6 times as long


class SASRec(Encoder):
    """Two blocks of causal self-attention over the user's latest L items, liked or not.

    A history lies on the left: position 0 is its oldest item, its last position gives the user's vector.
    So one pass over a stretch of a time line gives the vectors of all moments in it, as training uses. An
    empty history gives zero, which leaves the item's bias. Items that train does not hold are skipped. A
    user whom train does not hold is scored by the history that there is.

    Args:
        shape: the encoder's size.
        known: what train holds.
        seed: of the starting weights.

    Source: Kang, McAuley 2018; length, blocks, heads, dropout of the release; loss on labels (the paper);
    item bias and stretches are our choice.
    """

    name = "sasrec"
    mixed = True
    reads_history: ClassVar[Literal["none", "latest", "all"]] = "latest"
    reads_labels: ClassVar[bool] = False
    causal: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the starting weights."""
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
        """Stretches of train's time lines that start L / 2 rows apart: 2 item passes a row, not L."""
        length = self.shape.history_length
        return stretch_examples(data, length, step=-(-length // _STEPS))

    def read(self, history: Tensor, verdict: Tensor) -> Tensor:
        """What the blocks are given for each history item, [n, L, d]."""
        return embedding(history, self.item)

    def moments(self, history: Tensor, verdict: Tensor) -> Tensor:
        """Vectors after 0, 1, ..., L items.

        Shapes: `history` [n, L] rows of the compact item table, 0 on the right, `verdict` [n, L] as in
        `Examples`; returns [n, L + 1, d].
        """
        x = self.dropout(self.read(history, verdict) + self.position[1:])
        x = self.blocks(x, mask=self.causal, is_causal=True)
        return pad(x, (0, 0, 1, 0))

    def forward(self, batch: Examples) -> Tensor:
        """Logits of all targets, [n, L + 1]; target t comes after t items."""
        return self.answer(self.moments(self.item_index[batch.history], batch.verdict), batch)

    def answer(self, vector: Tensor, batch: Examples) -> Tensor:
        """Logits of all targets, [n, L + 1], for the users' vectors at these moments, [n, L + 1, d]."""
        index = self.item_index[batch.item]
        product = (vector * embedding(index, self.item)).sum(-1)
        return product + embedding(index, self.item_bias)[..., 0] + self.mean

    def target_sides(self, vector: Tensor, batch: Examples) -> Tensor:
        """The users' sides at the targets, [n, L + 1, d + 2]."""
        return user_side(vector, torch.zeros_like(batch.label))

    def encode(self, data: Interactions, index: np.ndarray) -> Tensor:
        """Vectors [n, d] of histories given as row numbers [n, L], oldest first, -1 for none."""
        parts = np.split(index, range(_ROWS_AT_ONCE, len(index), _ROWS_AT_ONCE))
        return torch.cat([self._encode(data, part) for part in parts])

    def _encode(self, data: Interactions, index: np.ndarray) -> Tensor:
        there, row = index >= 0, np.maximum(index, 0)
        history = self.item_index[self.tensor(np.where(there, data.item_id[row], 0))]
        verdict = self.tensor(np.where(there, data.label[row] + 1, 0))
        # What is not read leaves holes: a stable sort moves the rest to the left and keeps its order.
        kept = verdict > 0 if self.reads_labels else history > 0
        order = (~kept).to(torch.int8).argsort(dim=1, stable=True)
        moments = self.moments(history.gather(1, order), verdict.gather(1, order))
        after = kept.sum(1)
        return moments[torch.arange(len(history), device=after.device), after].float()

    def row_sides(self, data: Interactions, rows: np.ndarray, mode: HistoryMode) -> Tensor:
        """Sides from the latest L items strictly before each row, [n, d + 2]."""
        vector = self.encode(data, data.histories(rows, self.shape.history_length, mode))
        return user_side(vector, torch.zeros_like(vector[:, 0]))

    def user_sides(self, data: Interactions) -> Tensor:
        """Sides from the latest L items of train, [Ku + 1, d + 2]; row 0 that of an empty history.

        Of train alone, even where a split puts rows of valid or test between them.
        """
        vector = self.encode(data, self.latest(data))
        return user_side(vector, torch.zeros_like(vector[:, 0]))

    def latest(self, data: Interactions) -> np.ndarray:
        """Row numbers of each known user's latest L rows of train, [Ku + 1, L], -1 for none."""
        rows = data.rows("train")
        users = data.user_id[rows]
        ends = np.flatnonzero(np.diff(users, append=-1) != 0)
        places = ends[:, None] + np.arange(1 - self.shape.history_length, 1)
        own = (places >= 0) & (users[places] == users[ends][:, None])
        index = np.where(own, rows[places], -1)
        empty = np.full((1, self.shape.history_length), -1)
        return np.concatenate([empty, index])

    def item_sides(self) -> Tensor:
        """[item vector, 1, b_i], [Ki + 1, d + 2]."""
        return item_side(self.item, self.item_bias[:, 0])
