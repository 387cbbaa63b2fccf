"""Label-aware encoders: what training scores is what their sides say, and how much may move."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from thinkrec.cf import statistics
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS
from thinkrec.cf.labelled import LabelledSASRec
from thinkrec.data.tables import Interactions
from thinkrec.metrics.damping import DAMPING_GRID, best_damping
from thinkrec.metrics.ranking import ranking_metrics
from thinkrec.protocols import Protocol


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
        vector = model.states(model.item_index[examples.history], examples.feedback)
        logit = model.logits(vector, examples)[examples.in_loss]
        side = model.target_vectors(vector, examples)[examples.in_loss]
        place = examples.train_row[examples.in_loss]
        item = model.item_vectors()[model.item_index[examples.item[examples.in_loss]]]
        met = model.features[place]
        item[:, -4:-2] = met - model.mean_features
        item[:, -1] = met @ model.item_weight
        again = (side * item).sum(1) + model.mean
        scored = model.row_vectors(board, rows[place.numpy()], "rolling")
    assert torch.allclose(logit, again, atol=1e-5)
    start = board.position[rows[place.numpy()]] <= 10  # whose whole history one window holds
    assert torch.allclose(side[start], scored[start], atol=1e-5)


def test_the_start_is_the_logistic_regression(model: LabelledSASRec, board: Interactions) -> None:
    """With all vectors zero an answer is what scikit-learn says of features made by hand."""
    examples = model.examples(board)
    with torch.no_grad():
        for table in (model.item, model.item_bias, model.position, model.verdict):
            table.zero_()
        model.initialize(examples)
        hidden = torch.zeros(*examples.label.shape, model.shape.width)
        found = model.logits(hidden, examples)[examples.in_loss].numpy()
    rows = board.rows("train")
    met, residual = (each[rows] for each in model._residuals(board))
    start = statistics.first_rows(board.user_id[rows])
    end = np.arange(len(rows))
    slope, centre = statistics.taste_features(residual, met, start, end)
    past = statistics.user_features(residual, start, end, 10)
    place = examples.train_row[examples.in_loss].numpy()
    features = np.hstack([past, slope * (met - centre), met])[place]
    label = board.label[rows][place]
    expected = LogisticRegression().fit(features, label).decision_function(features)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(slope * centre).max() > 1e-3


def test_an_unknown_item_is_met_as_trains_mean_row(model: LabelledSASRec, board: Interactions) -> None:
    with torch.no_grad():
        sides = model.item_vectors()
    item = model.item_index[torch.from_numpy(board.item_id[board.rows("train")])]
    assert torch.allclose(sides[item, -4:-2].mean(0), torch.zeros(2), atol=1e-5)
    assert sides[item, -4:-2].std(0).min() > 0.01
    assert sides[0].tolist() == [0.0] * 18 + [1.0, 0.0]


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_the_damping_is_the_best_on_valid(
    model: LabelledSASRec, board: Interactions, protocol: Protocol
) -> None:
    rows = board.rows("valid")
    model.tune(board, protocol)
    chosen = float(model.damping)

    def both(share: float) -> float:
        model.damping.fill_(share)
        found = ranking_metrics(board.user_id[rows], board.label[rows], model.score(board, rows, protocol))
        assert found.auc is not None and found.values["uauc"] is not None
        return found.auc + found.values["uauc"]

    each = [both(share) for share in DAMPING_GRID]
    assert max(each) > min(each)
    assert each[round(chosen * 10)] == pytest.approx(max(each), abs=1e-3)


def test_best_damping_by_hand() -> None:
    """What moves tells users apart but misleads within them; the still part ranks within them."""
    user, label = np.array([1, 1, 2, 2]), np.array([0, 1, 0, 1])
    moving, still = np.array([0.3, 0.0, 9.3, 9.0]), np.array([0.0, 1.0, 0.0, 1.0])
    share = best_damping(user, label, moving, still)
    assert share == pytest.approx(0.3)  # at 0.2 the moving part's 0.3 still outweighs the still part
    assert best_damping(user, label, still, moving) == 0.0
