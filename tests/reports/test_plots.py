"""Points of ROC and calibration, by hand."""

import numpy as np
import pytest

from thinkrec.reports.figures import calibration_figure, curve_figure, roc_figure
from thinkrec.reports.plots import calibration_points, read_rows, roc_points


def test_roc_by_hand():
    assert roc_points(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0])) == [
        (0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1),
    ]  # fmt: skip
    assert roc_points(np.array([1, 0]), np.array([1.0, 1.0])) == [(0, 0), (1, 1)]
    assert roc_points(np.array([1, 1]), np.array([1.0, 2.0])) == []


def test_calibrated_scores_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    share = rng.random(20_000)
    points = calibration_points((rng.random(20_000) < share).astype(int), np.log(share / (1 - share)))
    assert len(points) == 10
    for predicted, observed, rows in points:
        assert predicted == pytest.approx(observed, abs=0.04)
        assert rows == pytest.approx(2000, abs=1)


def test_equal_scores_share_a_bin():
    assert calibration_points(np.array([1, 0, 0, 0]), np.zeros(4)) == [(0.5, 0.25, 4)]
    assert calibration_points(np.empty(0), np.empty(0)) == []


def test_figures_without_data_are_left_out(tmp_path):
    nothing = read_rows(tmp_path / "none.csv")
    assert nothing == []
    assert roc_figure(nothing) is calibration_figure(nothing) is curve_figure(nothing) is None


def test_curves_take_both_shapes_and_skip_what_is_no_number():
    by_step = [{"step": str(i), "series": "loss $a", "value": str(1 / i)} for i in range(1, 5)]
    by_model = [
        {"model": model, "epoch": str(i), "series": series, "value": value}
        for model in ("mf", "<b>")
        for series in ("loss", "valid_auc")
        for i, value in enumerate(["0.5", "nan", "0.7", "", "x"])
    ]
    first, second = curve_figure(by_step), curve_figure(by_model)
    assert first.startswith("<svg") and "loss $a" in first
    assert "valid_auc" in second and "&lt;b&gt;" in second and "<b>" not in second


def test_same_data_same_bytes():
    rows = [{"system": "a", "fpr": "0", "tpr": "0"}, {"system": "a", "fpr": "1", "tpr": "1"}]
    assert roc_figure(rows) == roc_figure(rows)
