"""What holds of every encoder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scoring import encoder_scores
from sklearn.metrics import roc_auc_score

from thinkrec.cf.checkpoint import Checkpoint, Progress
from thinkrec.cf.encoder import Encoder
from thinkrec.cf.examples import Known, Shape
from thinkrec.cf.folder import ENCODERS, save_encoder
from thinkrec.cf.tensors import load_vectors
from thinkrec.cf.trainer import Schedule, fit
from thinkrec.data.tables import Interactions
from thinkrec.protocols import Protocol

ITEMS, USERS, ROWS = 41, 61, 30  # one more of each than train holds
STRANGE_ITEM_ROW = ROWS  # user 1's last row
SHAPE = Shape(width=16, history_length=10)
PROTOCOLS = pytest.mark.parametrize("protocol", ["frozen", "rolling", "train"])
Spoil = Callable[[Interactions, np.ndarray], Interactions]


def made(name: str, data: Interactions, seed: int = 1) -> Encoder:
    return ENCODERS[name](SHAPE, Known.of(data, USERS, ITEMS), seed)


def trained(name: str, data: Interactions, seed: int = 1, epochs: int = 4) -> Encoder:
    model = made(name, data, seed)
    fit(model, data, Schedule(0.01, 1e-5, 128, epochs, epochs), seed, "frozen")
    return model


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one) and len(one) == len(other)


class Trained(NamedTuple):
    name: str
    model: Encoder
    progress: Progress
    folder: Path


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def encoder(
    request: pytest.FixtureRequest, board: Interactions, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """An encoder trained on the checkerboard, with ids that train does not hold."""
    model = made(request.param, board)
    progress = fit(model, board, Schedule(0.01, 1e-5, 128, 40, 10), 1, "frozen")
    folder = tmp_path_factory.mktemp("cf") / request.param
    save_encoder(folder, model, board, {})
    return Trained(request.param, model, progress, folder)


class TestEncoder:
    def test_learns_the_checkerboard(self, encoder: Trained, board: Interactions) -> None:
        rows = board.rows("test")
        assert encoder.progress.best_auc > 0.9
        assert roc_auc_score(board.label[rows], encoder_scores(encoder.folder, board, rows)) > 0.9

    @PROTOCOLS
    def test_round_trip_gives_the_same_scores(
        self, encoder: Trained, strangers: Interactions, protocol: Protocol
    ) -> None:
        rows = np.arange(len(strangers))
        loaded = encoder_scores(encoder.folder, strangers, rows, protocol)
        assert loaded.dtype == np.float32 and len(loaded) == len(rows)
        np.testing.assert_allclose(loaded, encoder.model.score(strangers, rows, protocol), atol=1e-5)

    @PROTOCOLS
    def test_batch_of_one_equals_batch_of_many(
        self, encoder: Trained, strangers: Interactions, protocol: Protocol
    ) -> None:
        rows = np.flatnonzero(strangers.split > 0)
        single = [encoder.model.score(strangers, rows[i : i + 1], protocol)[0] for i in range(len(rows))]
        np.testing.assert_allclose(encoder.model.score(strangers, rows, protocol), single, atol=1e-5)

    @PROTOCOLS
    def test_order_of_rows_is_kept(self, encoder: Trained, board: Interactions, protocol: Protocol) -> None:
        rows = board.rows("test")
        backwards = encoder.model.score(board, rows[::-1], protocol)
        np.testing.assert_allclose(encoder.model.score(board, rows, protocol), backwards[::-1], atol=1e-5)

    def test_a_history_is_encoded_once_for_all_rows_that_share_it(
        self, encoder: Trained, board: Interactions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Frozen: one of each user and split; rolling: one of each row. Items asked about don't matter."""
        rows, given = np.flatnonzero(board.split > 0), []
        encode = type(encoder.model).row_vectors

        def watched(self: Encoder, data: Interactions, rows: np.ndarray, protocol: Protocol) -> torch.Tensor:
            given.append(rows)
            return encode(self, data, rows, protocol)

        monkeypatch.setattr(type(encoder.model), "row_vectors", watched)
        users, twice = len(np.unique(board.user_id)), np.concatenate([rows, rows[::-1]])
        for protocol, count in (("frozen", 2 * users), ("rolling", len(rows))):
            items = board.item_id[np.concatenate([rows, rows])]
            found = encoder.model.score(board, twice, protocol, items)
            (distinct,) = given
            assert len(np.unique(distinct)) == len(distinct) == count < len(rows) + (protocol == "rolling")
            np.testing.assert_allclose(
                found[: len(rows)], encoder.model.score(board, rows, protocol), atol=1e-5
            )
            given.clear()

    def test_frozen_scores_read_no_label_of_their_split(
        self, encoder: Trained, board: Interactions, spoiled: Spoil
    ) -> None:
        """Those of test know valid's rows, where the encoder reads histories."""
        test = board.rows("test")
        expected = encoder.model.score(board, test, "frozen")
        turned = replace(board, label=np.where(board.split == 2, 1 - board.label, board.label))
        assert np.array_equal(encoder.model.score(turned, test, "frozen"), expected)
        earlier = spoiled(board, board.rows("valid"))
        changed = not np.array_equal(encoder.model.score(earlier, test, "frozen"), expected)
        assert changed == (encoder.model.reads_history != "none")

    def test_no_rows_no_scores(self, encoder: Trained, board: Interactions) -> None:
        assert encoder.model.score(board, np.arange(0), "rolling").shape == (0,)

    def test_vectors_of_unknown_ids_are_zero(self, encoder: Trained) -> None:
        vectors = load_vectors(encoder.folder)
        width = SHAPE.width + (4 if encoder.name.endswith("_labels") else 2)
        assert vectors.user.shape == (USERS + 1, width) and vectors.user.dtype == torch.float32
        assert vectors.item.shape == (ITEMS + 1, width)
        for side, known in ((vectors.user, vectors.known_user), (vectors.item, vectors.known_item)):
            assert known.tolist() == [False, *[True] * (len(side) - 2), False]
            assert not side[0].any() and not side[-1].any()

    def test_products_of_vectors_are_the_scores(self, encoder: Trained, board: Interactions) -> None:
        """SASRec's vector is the user at the end of train: the scores with train histories."""
        vectors, rows = load_vectors(encoder.folder), board.rows("test")
        product = (vectors.user[board.user_id[rows]] * vectors.item[board.item_id[rows]]).sum(
            1
        ) + vectors.mean
        np.testing.assert_allclose(encoder_scores(encoder.folder, board, rows, "train"), product, atol=1e-5)

    def test_unknown_user_and_empty_history_leave_the_items_side(
        self, encoder: Trained, strangers: Interactions
    ) -> None:
        row = len(strangers) - 2
        assert strangers.user_id[row] == USERS and len(strangers.history(row, 10)) == 0
        vectors = load_vectors(encoder.folder)
        bias = float(vectors.item[strangers.item_id[row], -1])
        assert encoder_scores(encoder.folder, strangers, np.array([row]))[0] == pytest.approx(
            bias + vectors.mean, abs=1e-6
        )
        assert (bias != 0) == (encoder.name != "mf_no_biases")

    def test_unknown_item_leaves_the_users_side(self, encoder: Trained, strangers: Interactions) -> None:
        assert strangers.item_id[STRANGE_ITEM_ROW] == ITEMS
        vectors = load_vectors(encoder.folder)
        bias = float(vectors.user[1, -2])
        # Vectors are of the end of train; what comes later moves the user of an encoder that reads it.
        found = encoder_scores(encoder.folder, strangers, np.array([STRANGE_ITEM_ROW]), "train")[0]
        assert found == pytest.approx(bias + vectors.mean, abs=1e-6)

    def test_same_seed_same_result(self, encoder: Trained, board: Interactions) -> None:
        one = trained(encoder.name, board).vectors(board)
        torch.manual_seed(99)
        assert same(one, trained(encoder.name, board).vectors(board))
        assert not same(one, trained(encoder.name, board, seed=2).vectors(board))

    def test_training_leaves_the_callers_random_numbers_alone(
        self, encoder: Trained, board: Interactions
    ) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        trained(encoder.name, board, epochs=1)
        assert torch.equal(torch.rand(3), expected)

    def test_killed_and_resumed_equals_never_killed(
        self, encoder: Trained, board: Interactions, tmp_path: Path
    ) -> None:
        schedule = Schedule(0.01, 1e-5, 128, 6, 6)
        whole = made(encoder.name, board)
        expected = fit(whole, board, schedule, 1, "frozen")
        checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "key", seconds=0)
        fit(made(encoder.name, board), board, Schedule(0.01, 1e-5, 128, 3, 6), 1, "frozen", checkpoint)
        again = made(encoder.name, board, seed=7)
        progress = fit(again, board, schedule, 1, "frozen", checkpoint)
        assert progress.curve == expected.curve
        assert same(again.state_dict(), whole.state_dict())

    def test_test_rows_change_no_vector(self, encoder: Trained, board: Interactions, spoiled: Spoil) -> None:
        changed = spoiled(board, board.rows("test"))
        expected = trained(encoder.name, board)
        found = trained(encoder.name, changed)
        assert same(found.vectors(changed), expected.vectors(board))

    def test_valid_rows_change_no_vector_but_choose_epoch_and_share(
        self, encoder: Trained, board: Interactions, spoiled: Spoil, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With one epoch and no share there is nothing to choose."""
        monkeypatch.setattr(type(encoder.model), "tune", lambda *_: None)
        changed = spoiled(board, np.flatnonzero(board.split > 0))
        expected = trained(encoder.name, board, epochs=1)
        found = trained(encoder.name, changed, epochs=1)
        assert same(found.vectors(changed), expected.vectors(board))

    def test_train_rows_do_change_vectors(
        self, encoder: Trained, board: Interactions, spoiled: Spoil
    ) -> None:
        """So that the two tests above can fail."""
        changed = spoiled(board, board.rows("train")[:1])
        found = trained(encoder.name, changed, epochs=1)
        assert not same(found.vectors(changed), trained(encoder.name, board, epochs=1).vectors(board))

    def test_ids_that_train_does_not_hold_change_no_vector(
        self, encoder: Trained, board: Interactions, strangers: Interactions
    ) -> None:
        expected, found = trained(encoder.name, board), trained(encoder.name, strangers)
        assert same(found.vectors(strangers), expected.vectors(board))

    def test_valid_is_scored_under_the_protocol_that_choices_are_made_by(
        self, encoder: Trained, board: Interactions
    ) -> None:
        """Scores and curve of the last epoch, which is the best where there is but one."""
        valid, aucs = board.rows("valid"), {}
        for protocol in ("frozen", "rolling"):
            model = made(encoder.name, board)
            seen = []
            progress = fit(
                model, board, Schedule(0.01, 1e-5, 128, 1, 1), 1, protocol,
                on_epoch=lambda _, m=model, p=protocol, s=seen: s.append(m.score(board, valid, p)),
            )  # fmt: skip
            aucs[protocol] = progress.best_auc
            assert progress.best_auc == pytest.approx(roc_auc_score(board.label[valid], seen[0]))
        assert (aucs["frozen"] != aucs["rolling"]) == (encoder.model.reads_history != "none")

    def test_later_rows_and_own_label_change_no_score(
        self, encoder: Trained, board: Interactions, spoiled: Spoil
    ) -> None:
        row = ROWS * 4 + 25
        later = np.arange(row + 1, ROWS * 5)
        expected = encoder.model.score(board, np.array([row]), "rolling")
        assert encoder.model.score(spoiled(board, later), np.array([row]), "rolling") == expected
        turned = board.label.copy()
        turned[row] = 1 - turned[row]
        board_turned = replace(board, label=turned)
        assert encoder.model.score(board_turned, np.array([row]), "rolling") == expected
        if "sasrec" in encoder.name:
            earlier = np.arange(row - 3, row)
            assert encoder.model.score(spoiled(board, earlier), np.array([row]), "rolling") != expected
