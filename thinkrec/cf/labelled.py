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
from thinkrec.metrics.steady import steadiest

_TASTES = statistics.ITEM_FEATURES


class LabelledSASRec(SASRec):
    """SASRec that reads of each history item whether it was liked, and statistics of user and item.

    A history item is its own vector, scaled by one of its verdict, plus another of its verdict; an item
    that train does not hold is read by its verdict alone. A user's generosity is a linear function of how
    much more than expected the user liked so far, an item's bias of how liked and how often met it is; two
    further coordinates let the user's taste for liked and for well-known items meet both. All these start
    from a logistic regression on train, whose rows see statistics without their own tenth of users.

    Generosity moves from row to row and, within a user, points away from the next label: a like just
    counted no longer lies ahead. After training, its weight is lowered by the share that is best on valid;
    tastes and what is read of the sequence stay as they are.

    Shapes: sides are [n, d + 4].

    Args:
        shape: the encoder's size.
        known: what train holds.
        seed: of the starting weights.

    Source: our choice; neither the paper's nor SASRec's.
    """

    name = "sasrec_labels"
    reads_history = "all"
    reads_labels = True
    undecayed = ("past_weight", "taste_weight", "item_weight", "scale")
    settled = ("steady",)
    counts: Tensor
    folds: Tensor
    steady: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the starting weights."""
        super().__init__(shape, known, seed)
        # A liked item counts as it is, a disliked one turned round.
        self.scale = nn.Parameter(torch.tensor([[0.0], [-1.0], [1.0]]).repeat(1, shape.width))
        self.verdict = table(3, shape.width, 2 * seed + 2, spread=0.02)
        self.past_weight = nn.Parameter(torch.zeros(statistics.PAST_FEATURES))
        self.taste_weight = nn.Parameter(torch.zeros(_TASTES))
        self.item_weight = nn.Parameter(torch.zeros(statistics.ITEM_FEATURES))
        self.register_buffer("counts", known.counts)
        self.register_buffer("folds", known.folds)
        self.register_buffer("steady", torch.tensor(0.0))
        self.past, self.met = torch.zeros(0), torch.zeros(0)

    def examples(self, data: Interactions) -> Examples:
        """As SASRec's; keeps the statistics of train's rows for the time of training."""
        rows = data.rows("train")
        met, surprise = self._surprises(data)
        start = statistics.first_rows(data.user_id[rows])
        self.past = self._past(surprise[rows], met[rows], start, np.arange(len(rows)))
        self.met = self.tensor(met[rows])
        return super().examples(data)

    def begin(self, examples: Examples) -> None:
        """Fit the weights of the statistics, and the mean beside them, by themselves."""
        from sklearn.linear_model import LogisticRegression

        place = examples.place[examples.counted]
        generosity, slope, centre = self.past[place].split([statistics.PAST_FEATURES, _TASTES, _TASTES], 1)
        taste = slope * (self.met[place] - centre)
        features = torch.cat([generosity, taste, self.met[place]], dim=1).cpu().numpy()
        fitted = LogisticRegression().fit(features, examples.label[examples.counted].cpu().numpy())
        weights = torch.from_numpy(fitted.coef_[0].astype(np.float32))
        named = (self.past_weight, self.taste_weight, self.item_weight)
        with torch.no_grad():
            for parameter, weight in zip(named, weights.split([len(one) for one in named]), strict=True):
                parameter.copy_(weight)
            self.mean.fill_(float(fitted.intercept_[0]))

    def settle(self, data: Interactions) -> None:
        """Choose the share by which generosity's weight is lowered: the highest AUC + UAUC on valid."""
        rows = data.rows("valid")
        self.steady.fill_(0.0)
        moving = self.score(data, rows, "rolling")
        self.steady.fill_(1.0)
        still = self.score(data, rows, "rolling")
        self.steady.fill_(steadiest(data.user_id[rows], data.label[rows], moving, still))

    def read(self, history: Tensor, verdict: Tensor) -> Tensor:
        """Items, scaled by their verdicts, and the verdicts' own vectors, summed, [n, L, d]."""
        scaled = super().read(history, verdict) * embedding(verdict, self.scale)
        return scaled + embedding(verdict, self.verdict)

    def answer(self, vector: Tensor, batch: Examples) -> Tensor:
        """Logits of all targets, [n, L + 1]."""
        met = self.met[batch.place]
        taste, bias = self._weighed(self.past[batch.place])
        own = (taste * (met - self.usual)).sum(-1) + met @ self.item_weight
        return super().answer(vector, batch) + bias + own

    def target_sides(self, vector: Tensor, batch: Examples) -> Tensor:
        """The users' sides at the targets, [n, L + 1, d + 4]."""
        return self._side(vector, self.past[batch.place])

    def row_sides(self, data: Interactions, rows: np.ndarray, mode: HistoryMode) -> Tensor:
        """Sides from what lies strictly before each row, [n, d + 4]."""
        vector = self.encode(data, data.histories(rows, self.shape.history_length, mode))
        end = statistics.history_end(data, rows, mode)
        met, surprise = self._surprises(data)
        return self._side(vector, self._past(surprise, met, rows - data.position[rows], end))

    def user_sides(self, data: Interactions) -> Tensor:
        """Sides from train alone, [Ku + 1, d + 4]; row 0 that of an empty history."""
        rows = data.rows("train")
        end = np.append(0, np.flatnonzero(np.diff(data.user_id[rows], append=-1)) + 1)
        met, surprise = self._surprises(data)
        past = self._past(surprise[rows], met[rows], np.append(0, end[:-1]), end)
        return self._side(self.encode(data, self.latest(data)), past)

    def item_sides(self) -> Tensor:
        """[item vector, statistics beyond train's mean row, 1, b_i with their share], [Ki + 1, d + 4]."""
        counts = self.counts.cpu().numpy()
        met = self.tensor(statistics.item_features(counts[0], counts[1], statistics.mean_logit(counts)))
        tasted = met - self.usual
        tasted[0] = 0  # nothing is known of it, not that it is rare
        return item_side(torch.cat([self.item, tasted], 1), self.item_bias[:, 0] + met @ self.item_weight)

    @property
    def usual(self) -> Tensor:
        """Statistics of train's mean row, [2], beyond which tastes are counted."""
        counts = self.counts.cpu().numpy()
        met = statistics.item_features(counts[0], counts[1], statistics.mean_logit(counts))
        return self.tensor((counts[0] @ met / counts[0].sum()).astype(np.float32))

    def _side(self, vector: Tensor, past: Tensor) -> Tensor:
        taste, bias = self._weighed(past)
        return user_side(torch.cat([vector, taste.to(vector.dtype)], dim=-1), bias)

    def _weighed(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Tastes [..., 2] and biases [...] of pasts [..., 7]."""
        generosity, slope, centre = past.split([statistics.PAST_FEATURES, _TASTES, _TASTES], -1)
        taste = slope * self.taste_weight
        away = (taste * (centre - self.usual)).sum(-1)
        return taste, (1 - self.steady) * (generosity @ self.past_weight) - away

    def _past(self, surprise: np.ndarray, met: np.ndarray, start: np.ndarray, end: np.ndarray) -> Tensor:
        """Generosity, slopes and centres of tastes, [n, 7]."""
        generosity = statistics.past_features(surprise, start, end, self.shape.history_length)
        return self.tensor(np.hstack([generosity, *statistics.taste_features(surprise, met, start, end)]))

    def _surprises(self, data: Interactions) -> tuple[np.ndarray, np.ndarray]:
        """Item features [N, 2] and surprises [N] of all rows."""
        counts, item = self.counts.cpu().numpy(), self.item_index.cpu().numpy()[data.item_id]
        features = statistics.row_features(data, item, counts, self.folds.cpu().numpy())
        return features, statistics.surprises(data, features, statistics.mean_logit(counts))


class LabelledGSASRec(LabelledSASRec, GSASRec):
    """gSASRec that reads labels and statistics; see `LabelledSASRec`."""

    name = "gsasrec_labels"
