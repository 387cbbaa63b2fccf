"""gSASRec: SASRec whose likes also compete with drawn items, under the generalised logistic loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import embedding, softplus

from thinkrec.cf.examples import Examples
from thinkrec.cf.sasrec import SASRec

_DRAWN_WEIGHT = 0.1
"""Weight of a like's drawn items; 1 costs .01 of ML1M's valid AUC, as they teach what is shown, not liked."""


class GSASRec(SASRec):
    """SASRec with gBCE: each like is also told from k drawn items, its own loss weakened by beta.

    With a = k / (items - 1), the rate of drawing, and calibration t: beta = a (t (1 - 1/a) + 1/a). With
    s' = s + log beta a like's loss is beta softplus(-s'), a dislike's softplus(s'), and a like's drawn items
    add the weighted mean of their softplus(s'). The shift by log beta makes up for the likes' smaller weight,
    so that the score s stays the logit of a like among what was shown.

    Source: Petrov, Macdonald 2023 (drawing, beta, t); that observed dislikes enter as they do in the other
    encoders, the shift, and the drawn items' weight are our choice: these data have labels, and the
    metrics rank what was shown.
    """

    name = "gsasrec"

    def losses(self, batch: Examples) -> Tensor:
        """Loss of each counted target, [m]."""
        counted, shift = batch.counted, math.log(self.beta)
        vector = self.moments(self.item_index[batch.history], batch.verdict)
        logit, label = self.answer(vector, batch)[counted].float() + shift, batch.label[counted]
        drawn = self.drawn(self.target_sides(vector, batch)[counted]).float() + shift
        like = self.beta * softplus(-logit) + _DRAWN_WEIGHT * softplus(drawn).mean(1)
        return label * like + (1 - label) * softplus(logit)

    def drawn(self, side: Tensor) -> Tensor:
        """Logits [m, k] of known items drawn evenly for users' sides [m, d + 2 or d + 4]."""
        items = self.item_sides()
        index = torch.randint(1, len(items), (len(side), self.shape.negatives)).to(side.device)
        # Not items[index], whose gradient is summed in another order each time.
        return torch.einsum("md,mkd->mk", side, embedding(index, items)) + self.mean

    @property
    def beta(self) -> float:
        """Power of a like's probability; 1 is the plain logistic loss."""
        rate = min(1.0, self.shape.negatives / max(1, len(self.item) - 2))
        t = self.shape.calibration
        return rate * (t * (1 - 1 / rate) + 1 / rate)
