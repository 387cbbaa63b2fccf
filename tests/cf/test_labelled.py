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
        item[:, -4:-2] = met - model.usual
        item[:, -1] = met @ model.item_weight
        again = (side * item).sum(1) + model.mean
        scored = model.row_sides(board, rows[place.numpy()], "rolling")
    assert torch.allclose(logit, again, atol=1e-5)
    start = board.position[rows[place.numpy()]] <= 10  # whose whole past one stretch shows
    assert torch.allclose(side[start], scored[start], atol=1e-5)


def test_the_start_is_the_logistic_regression(model: LabelledSASRec, board: Interactions) -> None:
    """With all vectors zero an answer is what scikit-learn says of features made by hand."""
    examples = model.examples(board)
    with torch.no_grad():
        for table in (model.item, model.item_bias, model.position, model.verdict):
            table.zero_()
        model.begin(examples)
        hidden = torch.zeros(*examples.label.shape, model.shape.width)
        found = model.answer(hidden, examples)[examples.counted].numpy()
    rows = board.rows("train")
    met, surprise = (each[rows] for each in model._surprises(board))
    start = statistics.first_rows(board.user_id[rows])
    end = np.arange(len(rows))
    slope, centre = statistics.taste_features(surprise, met, start, end)
    past = statistics.past_features(surprise, start, end, 10)
    place = examples.place[examples.counted].numpy()
    features = np.hstack([past, slope * (met - centre), met])[place]
    label = board.label[rows][place]
    expected = LogisticRegression().fit(features, label).decision_function(features)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(slope * centre).max() > 1e-3


def test_an_unknown_item_is_met_as_trains_mean_row(model: LabelledSASRec, board: Interactions) -> None:
    with torch.no_grad():
        sides = model.item_sides()
    item = model.item_index[torch.from_numpy(board.item_id[board.rows("train")])]
    assert torch.allclose(sides[item, -4:-2].mean(0), torch.zeros(2), atol=1e-5)
    assert sides[item, -4:-2].std(0).min() > 0.01
    assert sides[0].tolist() == [0.0] * 18 + [1.0, 0.0]


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
