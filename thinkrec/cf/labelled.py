"""Sequence encoders that read what was liked and what was not; our option, beside the paper's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from thinkrec.cf import statistics
from thinkrec.cf.encoder import item_side, table, user_side
from thinkrec.cf.examples import Examples, Known, Shape
from thinkrec.cf.gsasrec import GSASRec
from thinkrec.cf.sasrec import SASRec
from thinkrec.data.tables import HistoryMode, Interactions


class LabelledSASRec(SASRec):
    """SASRec that reads of each history item whether it was liked, and statistics of user and item.

    A history item is its own vector, scaled by one of its verdict, plus another of its verdict; an item
    that train does not hold is read by its verdict alone. A user's bias is a linear function of how much
    more than expected the user liked so far, an item's of how liked and how often met it is; both start
    from a logistic regression on train, whose rows see statistics without their own tenth of users.

    Args:
        shape: the encoder's size.
        known: what train holds.
        seed: of the starting weights.

    Source: our choice; neither the paper's nor SASRec's.
    """

    name = "sasrec_labels"
    reads_labels = True
    undecayed = ("past_weight", "item_weight", "scale")
    counts: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the starting weights."""
        super().__init__(shape, known, seed)
        # A liked item counts as it is, a disliked one turned round.
        self.scale = nn.Parameter(torch.tensor([[0.0], [-1.0], [1.0]]).repeat(1, shape.width))
        self.verdict = table(3, shape.width, 2 * seed + 2, spread=0.02)
        self.past_weight = nn.Parameter(torch.zeros(statistics.PAST_FEATURES))
        self.item_weight = nn.Parameter(torch.zeros(statistics.ITEM_FEATURES))
        self.register_buffer("counts", known.counts)
        self.past, self.met = torch.zeros(0), torch.zeros(0)

    def examples(self, data: Interactions) -> Examples:
        """As SASRec's; keeps the statistics of train's rows for the time of training."""
        rows = data.rows("train")
        met, surprise = self._surprises(data)
        start = statistics.first_rows(data.user_id[rows])
        self.past = self._past(surprise[rows], start, np.arange(len(rows)))
        self.met = self.tensor(met[rows])
        return super().examples(data)

    def begin(self, examples: Examples) -> None:
        """Fit the weights of the statistics, and the mean beside them, by themselves."""
        from sklearn.linear_model import LogisticRegression

        place = examples.place[examples.counted]
        features = torch.cat([self.past[place], self.met[place]], dim=1).cpu().numpy()
        fitted = LogisticRegression().fit(features, examples.label[examples.counted].cpu().numpy())
        weight = torch.from_numpy(fitted.coef_[0].astype(np.float32))
        with torch.no_grad():
            self.past_weight.copy_(weight[: statistics.PAST_FEATURES])
            self.item_weight.copy_(weight[statistics.PAST_FEATURES :])
            self.mean.fill_(float(fitted.intercept_[0]))

    def read(self, history: Tensor, verdict: Tensor) -> Tensor:
        """Items, scaled by their verdicts, and the verdicts' own vectors, summed, [n, L, d]."""
        scaled = super().read(history, verdict) * embedding(verdict, self.scale)
        return scaled + embedding(verdict, self.verdict)

    def answer(self, vector: Tensor, batch: Examples) -> Tensor:
        """Logits of all targets, [n, L + 1]."""
        own = self.met[batch.place] @ self.item_weight
        return super().answer(vector, batch) + self.user_bias(batch) + own

    def user_bias(self, batch: Examples) -> Tensor:
        """The users' biases at the targets, [n, L + 1]."""
        return self.past[batch.place] @ self.past_weight

    def row_sides(self, data: Interactions, rows: np.ndarray, mode: HistoryMode) -> Tensor:
        """Sides from what lies strictly before each row, [n, d + 2]."""
        vector = self.encode(data, data.histories(rows, self.shape.history_length, mode))
        end = statistics.history_end(data, rows, mode)
        past = self._past(self._surprises(data)[1], rows - data.position[rows], end)
        return user_side(vector, past @ self.past_weight)

    def user_sides(self, data: Interactions) -> Tensor:
        """Sides from train alone, [Ku + 1, d + 2]; row 0 that of an empty history."""
        rows = data.rows("train")
        end = np.append(0, np.flatnonzero(np.diff(data.user_id[rows], append=-1)) + 1)
        past = self._past(self._surprises(data)[1][rows], np.append(0, end[:-1]), end)
        return user_side(self.encode(data, self.latest(data)), past @ self.past_weight)

    def item_sides(self) -> Tensor:
        """[item vector, 1, b_i with the item's statistics], [Ki + 1, d + 2]."""
        counts = self.counts.cpu().numpy()
        features = statistics.item_features(counts[0], counts[1], statistics.mean_logit(counts))
        return item_side(self.item, self.item_bias[:, 0] + self.tensor(features) @ self.item_weight)

    def _past(self, surprise: np.ndarray, start: np.ndarray, end: np.ndarray) -> Tensor:
        return self.tensor(statistics.past_features(surprise, start, end, self.shape.history_length))

    def _surprises(self, data: Interactions) -> tuple[np.ndarray, np.ndarray]:
        """Item features [N, 2] and surprises [N] of all rows."""
        counts, item = self.counts.cpu().numpy(), self.item_index.cpu().numpy()[data.item_id]
        features = statistics.row_features(data, item, counts)
        return features, statistics.surprises(data, features, statistics.mean_logit(counts))


class LabelledGSASRec(LabelledSASRec, GSASRec):
    """gSASRec that reads labels and statistics; see `LabelledSASRec`."""

    name = "gsasrec_labels"
