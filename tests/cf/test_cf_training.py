"""Training: its data, its examples, its checkpoint."""

import logging
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus
from torch.optim.optimizer import register_optimizer_step_post_hook

from thinkrec.cf.checkpoint import Checkpoint, Progress
from thinkrec.cf.examples import Known, Shape, window_examples
from thinkrec.cf.gsasrec import GSASRec
from thinkrec.cf.lightgcn import LightGCN
from thinkrec.cf.mf import MatrixFactorisation
from thinkrec.cf.sasrec import SASRec
from thinkrec.cf.trainer import Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError, ModelError, StorageError

SCHEDULE = Schedule(0.01, 1e-5, 128, 3, 10)


def factors(data: Interactions, seed: int = 1) -> MatrixFactorisation:
    return MatrixFactorisation(Shape(8), Known.of(data, 60, 40), seed)


@pytest.mark.parametrize(("length", "step"), [(4, 2), (10, 5), (25, 13), (1, 1), (19, 3), (20, 1)])
def test_each_train_row_is_a_target_once_after_its_own_past(
    board: Interactions, length: int, step: int
) -> None:
    data = replace(board, item_id=board.position + 1)
    examples = window_examples(data, length, step)
    seen = []
    for number, target in torch.nonzero(examples.in_loss).tolist():
        user, item = int(examples.user[number]), int(examples.item[number, target])
        past = examples.history[number, :target].tolist()
        assert past == list(range(item - target, item))
        assert target >= min(item - 1, length - step + 1)
        row = (user - 1) * 30 + item - 1
        assert examples.label[number, target] == data.label[row]
        seen.append(row)
    assert sorted(seen) == data.rows("train").tolist()


def test_a_window_scores_as_its_rows_do(board: Interactions) -> None:
    """Training sees what scoring sees, where a window holds the whole history that is read."""
    model = SASRec(Shape(8, history_length=25), Known.of(board, 60, 40), 1).eval()
    rows = board.rows("train")
    with torch.no_grad():
        examples = model.examples(board)
        logits = model(examples)[examples.in_loss]
    np.testing.assert_allclose(logits.numpy(), model.score(board, rows, "rolling"), atol=1e-5)


def test_history_skips_items_that_train_does_not_hold(board: Interactions) -> None:
    """Holes close up: the score is that of the history without them."""
    model = SASRec(Shape(8, history_length=4), Known.of(board, 60, 41), 1).eval()
    row = 27
    items = board.item_id.copy()
    items[row - 2] = 41
    with_hole = model.encode(replace(board, item_id=items), np.array([[-1, row - 3, row - 2, row - 1]]))
    without = model.encode(board, np.array([[-1, -1, row - 3, row - 1]]))
    torch.testing.assert_close(with_hole, without)


def test_edges_are_trains_distinct_likes(board: Interactions) -> None:
    """And each weighs 1 / sqrt of both degrees, so that a row of weights squared tells its neighbours'."""
    known = Known.of(board, 60, 40)
    rows = board.rows("train")[board.label[board.rows("train")] == 1]
    pairs = sorted(set(zip(board.user_id[rows].tolist(), board.item_id[rows].tolist(), strict=True)))
    assert sorted(map(tuple, known.likes.T.tolist())) == pairs
    graph = LightGCN(Shape(8), known, 1).graph.propagate(torch.eye(known.users + known.items))
    assert torch.equal(graph, graph.T)
    user, item = pairs[0]
    degrees = sum(u == user for u, _ in pairs) * sum(i == item for _, i in pairs)
    assert float(graph[user, 61 + item]) == pytest.approx(degrees**-0.5)


def test_best_epoch_is_kept_and_patience_ends(board: Interactions) -> None:
    model = factors(board)
    progress = fit(model, board, Schedule(0.05, 0.0, 128, 50, 4), 1, "frozen")
    aucs = [value for _, series, value in progress.curve if series == "valid_auc"]
    assert progress.best_epoch == int(np.argmax(aucs)) + 1
    assert progress.epoch == len(aucs) == progress.best_epoch + 4
    shorter = factors(board)
    fit(shorter, board, Schedule(0.05, 0.0, 128, progress.best_epoch, 4), 1, "frozen")
    assert torch.equal(model.user, shorter.user)


@pytest.mark.parametrize(("split", "label", "likes"), [("train", 0, 0), ("train", 1, 1200), ("valid", 0, 0)])
def test_one_class_is_refused(board: Interactions, split: str, label: int, likes: int) -> None:
    rows = board.rows(split)  # type: ignore[arg-type]
    labels = board.label.copy()
    labels[rows] = label
    expected = (
        f"split {split} has {likes} likes in {len(rows)} rows; likes and dislikes are needed in train and "
        "valid: check the windows and positive_above of the data set in params.yaml"
    )
    data = replace(board, label=labels)
    with pytest.raises(DataError) as caught:
        fit(factors(data), data, SCHEDULE, 1, "frozen")
    assert str(caught.value) == expected


def test_an_empty_valid_split_is_refused(board: Interactions) -> None:
    data = replace(board, split=np.where(board.split == 1, 2, board.split).astype(np.int8))
    with pytest.raises(DataError, match=r"^split valid has 0 likes in 0 rows; "):
        fit(factors(data), data, SCHEDULE, 1, "frozen")


class TestCheckpoint:
    def test_of_another_key_is_not_taken_up(self, board: Interactions, tmp_path: Path) -> None:
        path = tmp_path / "c.safetensors"
        fit(factors(board), board, SCHEDULE, 1, "frozen", Checkpoint(path, "one", seconds=0))
        progress = fit(factors(board, 2), board, SCHEDULE, 2, "frozen", Checkpoint(path, "other", seconds=0))
        assert progress.curve == fit(factors(board, 2), board, SCHEDULE, 2, "frozen").curve

    def test_that_is_corrupt_is_not_taken_up(
        self, board: Interactions, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "c.safetensors"
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{nothing")
        with caplog.at_level(logging.WARNING):
            progress = fit(factors(board), board, SCHEDULE, 1, "frozen", Checkpoint(path, "one"))
        assert progress.curve == fit(factors(board), board, SCHEDULE, 1, "frozen").curve
        assert "can't be read" in caplog.text and "training starts over" in caplog.text

    def test_in_which_any_bit_flipped_is_not_taken_up(self, board: Interactions, tmp_path: Path) -> None:
        path = tmp_path / "c.safetensors"
        fit(factors(board), board, SCHEDULE, 1, "frozen", Checkpoint(path, "one", seconds=0))
        whole, rng = path.read_bytes(), np.random.default_rng(1)
        model = factors(board)
        adam = torch.optim.Adam(model.parameters())
        before = {name: value.clone() for name, value in model.state_dict().items()}
        head = 8 + int.from_bytes(whole[:8], "little")
        for place in [*range(0, head, 3), *rng.integers(head, len(whole), 300)]:
            path.write_bytes(
                whole[:place] + bytes([whole[place] ^ 1 << rng.integers(7)]) + whole[place + 1 :]
            )
            assert Checkpoint(path, "one").resume(model, adam) == Progress(), place
        path.write_bytes(whole.replace(b'"adam.0.step"', b'"adam.z.step"', 1))
        assert Checkpoint(path, "one").resume(model, adam) == Progress()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        path.write_bytes(whole)
        assert Checkpoint(path, "one").resume(model, adam).epoch == 3

    def test_is_not_written_more_often_than_its_seconds(self, board: Interactions, tmp_path: Path) -> None:
        path = tmp_path / "c.safetensors"
        fit(factors(board), board, SCHEDULE, 1, "frozen", Checkpoint(path, "one", seconds=3600))
        assert not path.exists()

    def test_on_a_full_disk_is_a_sentence(self, board: Interactions, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(
                StorageError, match=r"^cannot write .*c\.safetensors: file too large; free space"
            ):
                fit(
                    factors(board),
                    board,
                    SCHEDULE,
                    1,
                    "frozen",
                    Checkpoint(tmp_path / "c.safetensors", "one", seconds=0),
                )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not list(tmp_path.iterdir())


def test_graphs_gradient_is_that_of_the_plain_product(board: Interactions) -> None:
    """Of the mean of x, A x, A A x, by autograd and a dense A."""
    known = Known.of(board, 60, 40)
    model = LightGCN(Shape(8, graph_layers=2), known, 1)
    dense = model.graph.propagate(torch.eye(known.users + known.items))
    weight = torch.randn(len(dense), 8, generator=torch.Generator().manual_seed(1))
    (torch.cat(model.tables()) * weight).sum().backward()
    assert model.user.grad is not None and model.item.grad is not None
    x = torch.cat([model.user, model.item]).detach().requires_grad_()
    ((x + dense @ x + dense @ (dense @ x)) / 3 * weight).sum().backward()
    torch.testing.assert_close(torch.cat([model.user.grad, model.item.grad]), x.grad)


def test_an_epoch_of_a_table_encoder_has_at_most_its_steps(board: Interactions) -> None:
    steps: list[int] = []
    for batch in (128, 4):
        model = factors(board)
        count = 0

        def counted(*_: object) -> None:
            nonlocal count
            count += 1

        hook = register_optimizer_step_post_hook(counted)
        try:
            fit(model, board, Schedule(0.01, 0.0, batch, 1, 1), 1, "frozen")
        finally:
            hook.remove()
        steps.append(count)
    assert steps == [round(1200 / 128), model.max_steps]


def test_gsasrec_with_calibration_0_weighs_likes_as_the_others_do(board: Interactions) -> None:
    """And with 1 the likes' weight is the rate of drawing."""
    known = Known.of(board, 60, 40)
    betas = [GSASRec(Shape(8, negatives=8, calibration=t), known, 1).beta for t in (0.0, 0.75, 1.0)]
    rate = 8 / (known.items - 2)
    assert betas == pytest.approx([1.0, 1 - 0.75 * (1 - rate), rate])
    assert GSASRec(Shape(8, negatives=10_000, calibration=0.75), known, 1).beta == 1


def test_gsasrecs_loss_by_hand(board: Interactions) -> None:
    model = GSASRec(Shape(8, negatives=3), Known.of(board, 60, 40), 1).eval()
    examples = model.examples(board).take(torch.arange(4))
    with torch.no_grad():
        torch.manual_seed(3)
        found = model.losses(examples)
        torch.manual_seed(3)
        vector = model.states(model.item_index[examples.history], examples.feedback)[examples.in_loss]
        index = torch.randint(1, len(model.item), (len(vector), 3))
        drawn = (vector[:, None] * model.item[index]).sum(-1) + model.item_bias[index][..., 0] + model.mean
        s, shift = model(examples)[examples.in_loss], np.log(model.beta)
    like = model.beta * softplus(-s - shift) + 0.1 * softplus(drawn + shift).mean(1)
    label = examples.label[examples.in_loss]
    torch.testing.assert_close(found, torch.where(label == 1, like, softplus(s + shift)))


def test_a_training_that_diverges_says_so(board: Interactions) -> None:
    with pytest.raises(ModelError) as caught:
        fit(factors(board), board, Schedule(1e30, 0.0, 128, 3, 3), 1, "frozen")
    assert str(caught.value) == (
        "mf: scores, losses or weights are not finite after epoch 1: the training diverged; lower its "
        "learning_rate under cf.encoders.mf or tuned in params.yaml"
    )
