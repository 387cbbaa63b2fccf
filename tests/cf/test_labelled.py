"""Label-aware encoders: what training scores is what their sides say, and how much may move."""

import numpy as np
import pytest
import torch

from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS
from thinkrec.cf.labelled import LabelledSASRec
from thinkrec.data.tables import Interactions
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.metrics.steady import SHARES, steadiest


@pytest.fixture(params=["sasrec_labels", "gsasrec_labels"])
def model(request: pytest.FixtureRequest, board: Interactions) -> LabelledSASRec:
    known = Known.of(board, int(board.user_id.max()), int(board.item_id.max()))
    made = ENCODERS[request.param](Shape(width=16, history_length=10), known, 1)
    assert isinstance(made, LabelledSASRec)
    with torch.no_grad():
        for weight in (made.past_weight, made.taste_weight, made.item_weight):
            weight.copy_(torch.linspace(0.5, 2, len(weight)))
    return made.eval()


def test_training_and_scoring_agree_but_for_the_items_statistics(
    model: LabelledSASRec, board: Interactions
) -> None:
    """Train's targets see an item's statistics without their tenth of users; nothing else differs."""
    examples, rows = model.examples(board), board.rows("train")
    with torch.no_grad():
        vector = model.moments(model.item_index[examples.history], examples.verdict)
        logit = model.answer(vector, examples)[examples.counted]
        side = model.target_sides(vector, examples)[examples.counted]
        place = examples.place[examples.counted]
        item = model.item_sides()[model.item_index[examples.item[examples.counted]]]
        met = model.met[place]
        item[:, -4:-2] = met
        item[:, -1] = met @ model.item_weight
        again = (side * item).sum(1) + model.mean
        scored = model.row_sides(board, rows[place.numpy()], "rolling")
    assert torch.allclose(logit, again, atol=1e-5)
    start = board.position[rows[place.numpy()]] <= 10  # whose whole past one stretch shows
    assert torch.allclose(side[start], scored[start], atol=1e-5)


def test_the_share_is_the_best_on_valid(model: LabelledSASRec, board: Interactions) -> None:
    rows = board.rows("valid")
    model.settle(board)
    chosen = float(model.steady)

    def both(share: float) -> float:
        model.steady.fill_(share)
        found = ranking_metrics(board.user_id[rows], board.label[rows], model.score(board, rows, "rolling"))
        assert found.auc is not None and found.values["uauc"] is not None
        return found.auc + found.values["uauc"]

    each = [both(share) for share in SHARES]
    assert max(each) > min(each)
    assert each[round(chosen * 10)] == pytest.approx(max(each), abs=1e-3)


def test_steadiest_by_hand() -> None:
    """What moves tells users apart but misleads within them; the still part ranks within them."""
    user, label = np.array([1, 1, 2, 2]), np.array([0, 1, 0, 1])
    moving, still = np.array([0.3, 0.0, 9.3, 9.0]), np.array([0.0, 1.0, 0.0, 1.0])
    share = steadiest(user, label, moving, still)
    assert share == pytest.approx(0.3)  # at 0.2 the moving part's 0.3 still outweighs the still part
    assert steadiest(user, label, still, moving) == 0.0
