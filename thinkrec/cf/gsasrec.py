"""gSASRec: SASRec with sampled negatives under the generalised logistic loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import embedding, softplus

from thinkrec.cf.examples import Examples
from thinkrec.cf.sasrec import SASRec

_NEGATIVE_WEIGHT = 0.1
"""Weight of a like's negatives; 1 costs .01 valid AUC on ML1M: they teach exposure, not preference."""


class GSASRec(SASRec):
    """SASRec with gBCE: each like is contrasted with k sampled negatives, its own loss scaled by beta.

    With sampling rate a = k / (items - 1) and calibration t: beta = a (t (1 - 1/a) + 1/a). With
    s' = s + log beta, a like's loss is beta softplus(-s'), a dislike's softplus(s'), and a like's negatives
    add the weighted mean of their softplus(s'). The shift by log beta compensates for the likes' smaller
    weight, so that s remains the logit of a like given exposure.

    Source: Petrov, Macdonald 2023 (sampling, beta, t); observed dislikes, the shift and the negatives'
    weight are our choice: these data have labels, and the metrics rank exposed items.
    """

    name = "gsasrec"

    def losses(self, batch: Examples) -> Tensor:
        """Compute the loss of each target in the loss, [m]."""
        in_loss, shift = batch.in_loss, math.log(self.beta)
        vector = self.states(self.item_index[batch.history], batch.feedback)
        logit, label = self.logits(vector, batch)[in_loss].float() + shift, batch.label[in_loss]
        negative = self.negative_logits(self.target_vectors(vector, batch)[in_loss]).float() + shift
        like = self.beta * softplus(-logit) + _NEGATIVE_WEIGHT * softplus(negative).mean(1)
        return label * like + (1 - label) * softplus(logit)

    def negative_logits(self, user: Tensor) -> Tensor:
        """Sample known items uniformly and score them for users [m, d + 2 or d + 4]; logits [m, k]."""
        items = self.item_vectors()
        index = torch.randint(1, len(items), (len(user), self.shape.negatives)).to(user.device)
        # items[index] would sum its gradient in a different order each time.
        return torch.einsum("md,mkd->mk", user, embedding(index, items)) + self.mean

    @property
    def beta(self) -> float:
        """Exponent of a like's probability; 1 is the plain logistic loss."""
        rate = min(1.0, self.shape.negatives / max(1, len(self.item) - 2))
        t = self.shape.calibration
        return rate * (t * (1 - 1 / rate) + 1 / rate)
