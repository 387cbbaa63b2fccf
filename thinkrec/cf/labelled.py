"""Sequence encoders that read likes and dislikes; an option of ours, not the paper's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from thinkrec.cf import statistics
from thinkrec.cf.encoder import augment_item, augment_user, table
from thinkrec.cf.examples import Examples, Known, Shape
from thinkrec.cf.gsasrec import GSASRec
from thinkrec.cf.sasrec import SASRec
from thinkrec.data.tables import Interactions
from thinkrec.metrics.damping import best_damping
from thinkrec.protocols import Protocol

_TASTES = statistics.ITEM_FEATURES


class LabelledSASRec(SASRec):
    """SASRec with feedback embeddings of history items and statistics of user and item.

    A history item is embedded as its vector, scaled by a vector of its feedback, plus another vector of its
    feedback; unknown items are embedded by feedback alone. The user's bias is linear in the mean residuals
    of past labels, the item's bias in its like rate and popularity; two more coordinates hold the user's
    taste for liked and for popular items. These weights are initialised by a logistic regression on train,
    with out-of-fold item statistics.

    Under rolling histories the bias from past labels anti-correlates, within a user, with the next label: a
    like already counted no longer lies ahead. After training, its weight is damped by the amount that is best
    on valid, under the protocol that choices are made by.

    Shapes: augmented vectors are [n, d + 4].

    Args:
        shape: the encoder's size.
        known: users and items of train.
        seed: random seed of the initial weights.

    Source: our choice; neither the paper's nor SASRec's.
    """

    name = "sasrec_labels"
    reads_history = "all"
    reads_labels = True
    no_weight_decay = ("past_weight", "taste_weight", "item_weight", "scale")
    tuned_buffers = ("damping",)
    counts: Tensor
    folds: Tensor
    damping: Tensor

    def __init__(self, shape: Shape, known: Known, seed: int) -> None:
        """Draw the initial weights."""
        super().__init__(shape, known, seed)
        # A liked item keeps its vector, a disliked one's is negated.
        self.scale = nn.Parameter(torch.tensor([[0.0], [-1.0], [1.0]]).repeat(1, shape.width))
        self.verdict = table(3, shape.width, 2 * seed + 2, spread=0.02)
        self.past_weight = nn.Parameter(torch.zeros(statistics.USER_FEATURES))
        self.taste_weight = nn.Parameter(torch.zeros(_TASTES))
        self.item_weight = nn.Parameter(torch.zeros(statistics.ITEM_FEATURES))
        self.register_buffer("counts", known.counts)
        self.register_buffer("folds", known.folds)
        self.register_buffer("damping", torch.tensor(0.0))
        self.past, self.features = torch.zeros(0), torch.zeros(0)

    def examples(self, data: Interactions) -> Examples:
        """Build SASRec's examples, and store the statistics of train's rows for training."""
        rows = data.rows("train")
        features, residual = self._residuals(data)
        start = statistics.first_rows(data.user_id[rows])
        self.past = self._past(residual[rows], features[rows], start, np.arange(len(rows)))
        self.features = self.tensor(features[rows])
        return super().examples(data)

    def initialize(self, examples: Examples) -> None:
        """Initialize the weights of the statistics, and the mean, by logistic regression."""
        from sklearn.linear_model import LogisticRegression

        train_row = examples.train_row[examples.in_loss]
        bias_features, slope, mean = self.past[train_row].split(
            [statistics.USER_FEATURES, _TASTES, _TASTES], 1
        )
        taste = slope * (self.features[train_row] - mean)
        features = torch.cat([bias_features, taste, self.features[train_row]], dim=1).cpu().numpy()
        fitted = LogisticRegression().fit(features, examples.label[examples.in_loss].cpu().numpy())
        weights = torch.from_numpy(fitted.coef_[0].astype(np.float32))
        parameters = (self.past_weight, self.taste_weight, self.item_weight)
        with torch.no_grad():
            for parameter, weight in zip(
                parameters, weights.split([len(each) for each in parameters]), strict=True
            ):
                parameter.copy_(weight)
            self.mean.fill_(float(fitted.intercept_[0]))

    def tune(self, data: Interactions, protocol: Protocol) -> None:
        """Choose the damping of the user's bias with the highest AUC + UAUC on valid."""
        rows = data.rows("valid")
        self.damping.fill_(0.0)
        full = self.score(data, rows, protocol)
        self.damping.fill_(1.0)
        damped = self.score(data, rows, protocol)
        self.damping.fill_(best_damping(data.user_id[rows], data.label[rows], full, damped))

    def embed_history(self, history: Tensor, feedback: Tensor) -> Tensor:
        """Embed items, scaled by their feedback, plus feedback, [n, L, d]."""
        scaled = super().embed_history(history, feedback) * embedding(feedback, self.scale)
        return scaled + embedding(feedback, self.verdict)

    def logits(self, vector: Tensor, batch: Examples) -> Tensor:
        """Compute the logits of all targets, [n, L + 1]."""
        features = self.features[batch.train_row]
        taste, bias = self._taste_and_bias(self.past[batch.train_row])
        own = (taste * (features - self.mean_features)).sum(-1) + features @ self.item_weight
        return super().logits(vector, batch) + bias + own

    def target_vectors(self, vector: Tensor, batch: Examples) -> Tensor:
        """Compute the users' augmented vectors at the targets, [n, L + 1, d + 4]."""
        return self._augment(vector, self.past[batch.train_row])

    def row_vectors(self, data: Interactions, rows: np.ndarray, protocol: Protocol) -> Tensor:
        """Compute augmented vectors from the history strictly before each row, [n, d + 4]."""
        vector = self.encode(data, data.histories(rows, self.shape.history_length, protocol))
        end = statistics.history_end(data, rows, protocol)
        features, residual = self._residuals(data)
        return self._augment(vector, self._past(residual, features, rows - data.position[rows], end))

    def user_vectors(self, data: Interactions) -> Tensor:
        """Compute augmented vectors at the end of train, [Ku + 1, d + 4]; row 0 has an empty history."""
        rows = data.rows("train")
        # Where each user's rows end in train, [Ku + 1], preceded by 0 for the unknown user.
        end = np.append(0, np.flatnonzero(np.diff(data.user_id[rows], append=-1)) + 1)
        features, residual = self._residuals(data)
        past = self._past(residual[rows], features[rows], np.append(0, end[:-1]), end)
        return self._augment(self.encode(data, self.latest_rows(data)), past)

    def item_vectors(self) -> Tensor:
        """Compute [item vector, centred statistics, 1, b_i plus the statistics' part], [Ki + 1, d + 4]."""
        counts = self.counts.cpu().numpy()
        features = self.tensor(statistics.item_features(counts[0], counts[1], statistics.mean_logit(counts)))
        centred = features - self.mean_features
        centred[0] = 0  # the unknown item is average, not rare
        return augment_item(
            torch.cat([self.item, centred], 1), self.item_bias[:, 0] + features @ self.item_weight
        )

    @property
    def mean_features(self) -> Tensor:
        """Item features averaged over train's rows, [2], by which tastes are centred."""
        counts = self.counts.cpu().numpy()
        features = statistics.item_features(counts[0], counts[1], statistics.mean_logit(counts))
        return self.tensor((counts[0] @ features / counts[0].sum()).astype(np.float32))

    def _augment(self, vector: Tensor, past: Tensor) -> Tensor:
        taste, bias = self._taste_and_bias(past)
        return augment_user(torch.cat([vector, taste.to(vector.dtype)], dim=-1), bias)

    def _taste_and_bias(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Compute tastes [..., 2] and biases [...] of histories [..., 7]."""
        bias_features, slope, mean = past.split([statistics.USER_FEATURES, _TASTES, _TASTES], -1)
        taste = slope * self.taste_weight
        offset = (taste * (mean - self.mean_features)).sum(-1)
        return taste, (1 - self.damping) * (bias_features @ self.past_weight) - offset

    def _past(self, residual: np.ndarray, features: np.ndarray, start: np.ndarray, end: np.ndarray) -> Tensor:
        """Compute bias features, slopes and means of histories, [n, 7]."""
        bias_features = statistics.user_features(residual, start, end, self.shape.history_length)
        return self.tensor(
            np.hstack([bias_features, *statistics.taste_features(residual, features, start, end)])
        )

    def _residuals(self, data: Interactions) -> tuple[np.ndarray, np.ndarray]:
        """Compute item features [N, 2] and residuals [N] of all rows."""
        counts, item = self.counts.cpu().numpy(), self.item_index.cpu().numpy()[data.item_id]
        features = statistics.row_features(data, item, counts, self.folds.cpu().numpy())
        return features, statistics.residuals(data, features, statistics.mean_logit(counts))


class LabelledGSASRec(LabelledSASRec, GSASRec):
    """gSASRec that reads labels and statistics; see `LabelledSASRec`."""

    name = "gsasrec_labels"
