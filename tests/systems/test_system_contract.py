"""Every system scores a history that is handed in as it scores the same history in the data set."""

from __future__ import annotations

import numpy as np
import pytest
from small_chain import Chain

from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError
from thinkrec.metrics.floors import FLOORS
from thinkrec.metrics.running import MINUS_RUNNING_MEAN
from thinkrec.systems.candidates import NOBODY, Candidates, History
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, entry, needs_of

TRAINED = (
    "mf",
    "lightgcn",
    "sasrec",
    "gsasrec_labels",
    "gbdt",
    "backbone",
    "global",
    "thinkrec-no-projector",
    "thinkrec",
)
TOLERANCE = 1e-4  # of another batch (guarantee 3)


@pytest.fixture(scope="module")
def project(chain: Chain) -> Project:
    return Project(chain.layout, chain.params)


def before(data: Interactions, row: int, user: int | None = None) -> History:
    """What lies before a row, as a history that somebody hands in."""
    past = np.arange(row - int(data.position[row]), row)
    return History(
        int(data.user_id[row]) if user is None else user,
        data.item_id[past],
        data.label[past],
        data.timestamp[past],
        data.split[past],
        int(data.timestamp[row]),
    )


@pytest.fixture(scope="module")
def rows(project: Project) -> np.ndarray:
    return np.concatenate([project.data.rows("valid")[:10], project.data.rows("test")[-30:]])


@pytest.mark.parametrize("name", [*FLOORS, MINUS_RUNNING_MEAN, *TRAINED])
def test_a_history_handed_in_scores_as_in_the_data_set(project: Project, rows: np.ndarray, name: str) -> None:
    data, system = project.data, project.system(name)
    found = system.score(Candidates.of_rows(data, rows))
    assert found.dtype == np.float32 and found.shape == rows.shape
    histories = [before(data, row) for row in rows.tolist()]
    asked = Candidates.of_histories(histories, [data.item_id[[row]] for row in rows.tolist()])
    np.testing.assert_allclose(system.score(asked), found, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", TRAINED)
def test_candidates_at_one_moment_do_not_know_each_other(project: Project, name: str) -> None:
    data, system = project.data, project.system(name)
    row = int(data.rows("test")[-1])
    items = np.setdiff1d(np.arange(1, 40), data.item_id[data.user_id == data.user_id[row]])
    history = before(data, row)
    together = system.score(Candidates.of_histories([history], [items]))
    alone = np.concatenate(
        [system.score(Candidates.of_histories([history], [items[[k]]])) for k in range(len(items))]
    )
    np.testing.assert_allclose(together, alone, atol=TOLERANCE, rtol=TOLERANCE)
    assert len(np.unique(np.round(together, 5))) > 1


@pytest.mark.parametrize("name", TRAINED)
def test_items_asked_at_rows_of_the_data_set(project: Project, rows: np.ndarray, name: str) -> None:
    """The row's own item among others, at the row's moment, scores as the row."""
    data, system = project.data, project.system(name)
    others = np.stack([data.item_id[rows], np.roll(data.item_id[rows], 3)], axis=1)
    asked = Candidates(data, np.repeat(rows, 2), others.ravel())
    found = system.score(asked).reshape(-1, 2)
    own = system.score(Candidates.of_rows(data, rows))
    np.testing.assert_allclose(found[:, 0], own, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", TRAINED)
def test_the_handed_in_label_of_the_moment_changes_nothing(project: Project, name: str) -> None:
    """The row behind a history stands for the moment alone."""
    data, system = project.data, project.system(name)
    history, items = before(data, int(data.rows("test")[-1])), np.array([1, 2, 3])
    asked = Candidates.of_histories([history], [items])
    expected = system.score(asked)
    asked.data.label[-1] = 1
    np.testing.assert_array_equal(
        system.score(Candidates(asked.data, asked.rows, items, handed_in=True)), expected
    )


@pytest.mark.parametrize("name", ["mf", "lightgcn", "sasrec", "gbdt", "global", "thinkrec"])
def test_somebody_new_is_scored(project: Project, name: str) -> None:
    data, system = project.data, project.system(name)
    history = before(data, int(data.rows("test")[-1]), NOBODY)
    empty = before(data, int(np.flatnonzero(data.position == 0)[0]), NOBODY)
    assert len(history) and not len(empty)
    items = np.array([1, 2, 3])
    found = system.score(Candidates.of_histories([history, empty], [items, items]))
    assert np.isfinite(found).all() and len(found) == 6
    assert system.about_user(known=False) != ""


def test_the_registry_names_what_is_near_and_what_is_needed(project: Project) -> None:
    with pytest.raises(
        ConfigError, match=r"^system: no system is called 'thinkreck'; did you mean 'thinkrec'\?"
    ):
        entry("thinkreck")
    assert needs_of(project.params, ["mf", "gbdt", "popularity"]) == ["encoders/mf", "baselines"]
    assert needs_of(project.params, ["thinkrec"]) == [
        "items", "keywords", "backbone", "global_adapter@thinkrec", "clusters", "experts@thinkrec",
        "encoders/lightgcn", "projector@thinkrec", "rationales",
    ]  # fmt: skip
    assert [name for name, each in SYSTEMS.items() if each.reasons] == [
        "thinkrec", "thinkrec-no-experts", "thinkrec-no-keywords", "thinkrec-no-labels",
    ]  # fmt: skip
