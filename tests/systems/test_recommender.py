"""`thinkrec.load` and what it answers, as somebody in a notebook asks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import Chain, seal, write_params

import thinkrec
from thinkrec.artifacts.manifest import FORMAT
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, DataError, MissingInputError, ModelError, RequestError
from thinkrec.layout import Layout
from thinkrec.recommender import Recommender
from thinkrec.systems.answers import Question, Scores


@pytest.fixture(scope="module")
def root(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chain.copy(tmp_path_factory.mktemp("library")).root
    write_params(folder, chain.params)
    return folder


@pytest.fixture(scope="module")
def rec(root: Path) -> Recommender:
    return thinkrec.load(root, dataset="demo", system="thinkrec")


@pytest.fixture(scope="module")
def data(chain: Chain) -> Interactions:
    return Interactions.load(chain.layout.interactions)


def free_items(rec: Recommender, data: Interactions, user: str, count: int) -> list[str]:
    met = set(data.item_id[data.user_id == rec.users.number(user)].tolist())
    return [item for item in rec.items if rec.items.number(item) not in met][:count]


def test_scores_come_with_titles_and_turn_into_tables(rec: Recommender, data: Interactions) -> None:
    user = list(rec.users)[3]
    items = free_items(rec, data, user, 4)
    found = rec.score(user, items)
    assert (found.system, found.dataset, found.user) == ("thinkrec", "demo", user)
    assert found.items == tuple(items) and len(found) == 4
    assert found.titles == tuple(rec.title(item) for item in items) and all(found.titles)
    assert dict(found) == dict(zip(items, found.scores.tolist(), strict=True))
    assert found.to_arrow().column_names == ["item", "title", "score"]
    assert found.to_pandas()["item"].tolist() == items
    assert "the user's experts and vector" in found.basis


@pytest.mark.parametrize("system", ["mf", "gsasrec_labels", "gbdt", "thinkrec", "popularity"])
def test_recommends_what_scores_highest_of_what_is_new(root: Path, data: Interactions, system: str) -> None:
    rec = thinkrec.load(root, dataset="demo", system=system)
    user = next(iter(rec.users))
    new = free_items(rec, data, user, 1000)
    found = rec.recommend(user, 5)
    scores = dict(rec.score(user, new))
    assert set(found.items) <= set(new)
    best = sorted(scores.values(), reverse=True)[:5]
    np.testing.assert_allclose(found.scores, best, atol=1e-4)
    three = rec.recommend(user, 10, [*new[:3], *list(rec.items)[-1:]])
    assert set(new[:3]) <= set(three.items)
    assert len(rec.recommend(user, 10, "mf:2")) == 2


def test_somebody_new_by_a_history(rec: Recommender) -> None:
    items = list(rec.items)
    liked = rec.score_history([(items[0], True), (items[1], False)], items[5:9])
    turned = rec.score_history({items[0]: False, items[1]: True}, items[5:9])
    assert liked.user is None and "lightgcn has no vector for a new user" in liked.basis
    assert not np.allclose(liked.scores, turned.scores)
    assert len(rec.score_history([], items[:2])) == 2
    assert items[0] not in rec.recommend_history([(items[0], True)], 100).items


def test_explains_by_reason_and_by_what_moved_the_score(rec: Recommender, data: Interactions) -> None:
    user = list(rec.users)[3]
    (item,) = free_items(rec, data, user, 1)
    found = rec.explain(user, item)
    assert found.score == pytest.approx(float(rec.score(user, [item]).scores[0]), abs=1e-4)
    assert found.reason is not None and found.reason.split(".")[0].split()[0].startswith(("Yes", "No"))
    own = data.user_id == rec.users.number(user)
    latest = [rec.title(list(rec.items)[k - 1]) for k in data.item_id[own][-4:].tolist()]
    assert sorted(each.title for each in found.history) == sorted(latest)
    moved = [abs(each.moved) for each in found.history]
    assert moved == sorted(moved, reverse=True) and moved[0] > 0
    assert found == rec.explain(user, item)
    assert found.to_pandas().columns.tolist() == ["item", "title", "liked", "moved"]


def test_what_moved_is_the_score_less_the_score_without(root: Path) -> None:
    rec = thinkrec.load(root, dataset="demo", system="gsasrec_labels")
    items = list(rec.items)
    history = [(items[0], True), (items[1], False), (items[2], True)]
    found = rec.explain_history(history, items[9])
    assert found.reason is None
    for each in found.history:
        without = rec.score_history([pair for pair in history if pair[0] != each.item], [items[9]])
        assert each.moved == pytest.approx(found.score - float(without.scores[0]), abs=1e-5)


def test_threads_get_the_answers_of_one_caller(rec: Recommender, data: Interactions) -> None:
    users = list(rec.users)[:8]

    def ask(user: str) -> list[Any]:
        items = free_items(rec, data, user, 6)
        told = rec.explain(user, items[0])
        return [rec.score(user, items).scores.tobytes(), rec.recommend(user, 3).scores.tobytes(), told]

    alone = [ask(user) for user in users]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, users)) == alone


def test_asking_does_not_touch_the_random_numbers_of_others(rec: Recommender, data: Interactions) -> None:
    import torch

    user, before = list(rec.users)[3], torch.random.get_rng_state()
    rec.explain(user, free_items(rec, data, user, 1)[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_encoder_without_history_needs_no_torch(root: Path) -> None:
    code = (
        "import sys, thinkrec\n"
        f"rec = thinkrec.load({str(root)!r}, dataset='demo', system='lightgcn')\n"
        "print(len(rec.recommend(list(rec.users)[0], 5)), 'torch' in sys.modules, 'pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "False", "False"]


def test_a_project_without_a_language_model(root: Path, tmp_path: Path) -> None:
    """Of tables and encoders alone, as `prep` and `cf` leave them."""
    bare = tmp_path / "bare"
    shutil.copytree(root, bare)
    for gone in (
        "data/demo/keywords.parquet",
        "models/demo/backbone",
        "models/demo/adapters/thinkrec/global",
    ):
        path = bare / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rec = thinkrec.load(bare, dataset="demo", system="sasrec")
    user = next(iter(rec.users))
    best = rec.recommend(user, 3)
    assert all(best.titles) and rec.explain(user, best.items[0]).reason is None


def test_what_cannot_be_answered_says_why(rec: Recommender, data: Interactions) -> None:
    items, user = list(rec.items), list(rec.users)[3]
    met = items[int(data.item_id[data.user_id == rec.users.number(user)][0]) - 1]
    new = free_items(rec, data, user, 2)
    cases: list[tuple[Any, str]] = [
        (lambda: rec.score("u00004", new), "the data set has no user 'u00004'; did you mean 'u0004'"),
        (lambda: rec.score(user, ["i999999"]), "the data set has no item 'i999999'"),
        (lambda: rec.score(user, []), "items: the list is empty; name at least one item"),
        (lambda: rec.score(user, new[0]), "items: give a list of raw ids, not "),
        (lambda: rec.recommend(user, 5, []), "candidates: the list is empty; name at least one item"),
        (lambda: rec.recommend(user, 5, [new[0], new[0]]), f"candidates: {new[0]!r} comes more than once"),
        (lambda: rec.score(user, [new[0], new[0]]), "comes more than once; name each item once"),
        (lambda: rec.score(user, [new[0], met]), f"{met!r} is in the history of user {user!r} already"),
        (lambda: rec.explain(user, met), f"{met!r} is in the history of user {user!r} already"),
        (lambda: rec.score_history([(met, True)], [met]), f"{met!r} is in the history already"),
        (lambda: rec.score_history([(met, True), (met, False)], new), "comes more than once"),
        (lambda: rec.score_history([met], new), "is not a pair of a raw item id and True (liked) or False"),
        (lambda: rec.score_history([(met, 5)], new), "is not a pair of a raw item id and True (liked) or"),
        (lambda: rec.recommend(user, 0), "k is 0: ask for a whole number of items, at least 1"),
        (
            lambda: rec.recommend(user, 5, [met]),
            "no candidate is left: all of them are in the history; name others",
        ),
        (lambda: rec.recommend({"id": 9}), "user: give an id, as text or a finite number, not {'id': 9}"),
        (lambda: rec.recommend(True), "user: give an id, as text or a finite number, not True"),
        (lambda: rec.recommend(9), "the data set has no user '9'"),
        (lambda: rec.recommend(user, 5, "nosuch:9"), "candidates: 'nosuch:9' is not an encoder with a count"),
        (lambda: rec.recommend(user, 5, "mf:0"), "candidates: the count must be at least 1, not 0"),
        (lambda: rec.recommend(user, 5, "MF:20"), "such as lightgcn:200; did you mean 'mf'? Encoders are"),
        (lambda: rec.recommend(user, 5, "ligthgcn:20"), "did you mean 'lightgcn'? Encoders are mf,"),
        (lambda: rec.item(items[0].upper()), f"title {items[0].upper()!r}; did you mean {items[0]!r}?"),
        (lambda: rec.score(user, [items[0].upper()]), f"no item {items[0].upper()!r}; did you mean"),
    ]
    for ask, words in cases:
        with pytest.raises(RequestError) as caught:
            ask()
        assert words in str(caught.value)
    with pytest.raises(MissingInputError, match="`thinkrec cf --dataset demo` makes it"):
        rec.recommend(user, 5, "gsasrec:9")


def test_ids_may_have_spaces_at_their_ends(root: Path) -> None:
    rec = thinkrec.load(root, dataset="demo", system="mf")
    user = next(iter(rec.users))
    best = rec.recommend(user, 2)
    spaced = rec.recommend(f"{user} ", 2, [f" {item}\n" for item in best.items])
    assert (spaced.user, spaced.items) == (user, best.items)
    assert rec.explain(f" {user}", f"{best.items[0]} ").user == user
    assert rec.item(f"{best.items[0]} ") == best.items[0] and rec.history(f"{user} ") == rec.history(user)
    assert len(rec.recommend(user, 2, "mf:" + "9" * 5000)) == 2


def test_kinds_of_arguments(root: Path) -> None:
    rec = thinkrec.load(root, dataset="demo", system="mf")
    user, items = next(iter(rec.users)), list(rec.items)
    whole = rec.score_history([(items[0], True), (items[1], False)], items[2:5])
    assert whole.basis == "the items alone: a new user has no vector"
    numpy = rec.score_history(zip(items[:2], np.array([True, False]), strict=True), iter(items[2:5]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole.scores, numpy.scores)
    for call in (
        lambda: rec.score(user, None),  # type: ignore[arg-type]
        lambda: rec.recommend(user, k=2.5),  # type: ignore[arg-type]
        lambda: rec.recommend(user, k="3"),  # type: ignore[arg-type]
        lambda: rec.score_history(None, items[:1]),  # type: ignore[arg-type]
        lambda: rec.score_history("i0001", items[:1]),  # type: ignore[arg-type]
    ):
        with pytest.raises(RequestError):
            call()
    assert len(rec.recommend(user, k=np.int64(2)).items) == 2


def test_what_cannot_be_loaded_says_what_to_run(root: Path, chain: Chain, tmp_path: Path) -> None:
    def refused(kind: type[Exception], words: str, folder: Path = root, **named: str) -> None:
        with pytest.raises(kind) as caught:
            thinkrec.load(folder, **{"dataset": "demo", **named})
        assert words in str(caught.value)

    refused(ConfigError, "there is no params.yaml in", tmp_path)
    refused(ConfigError, "no system is called 'thinkreck'; did you mean 'thinkrec'?", system="thinkreck")
    refused(ConfigError, "params.yaml names no data set `other` (known: demo)", dataset="other")
    bare = tmp_path / "bare"
    bare.mkdir()
    write_params(bare, chain.params)
    refused(MissingInputError, "`thinkrec prep --dataset demo` makes it", bare)
    half = tmp_path / "half"
    shutil.copytree(root, half)
    shutil.rmtree(half / "models" / "demo" / "adapters" / "thinkrec" / "projector")
    refused(MissingInputError, "`thinkrec projector --dataset demo` makes it", half)
    assert len(thinkrec.load(half, dataset="demo", system="thinkrec-no-projector").users)
    (
        half / "models" / "demo" / "adapters" / "thinkrec" / "experts" / "1" / "adapter_model.safetensors"
    ).unlink()
    refused(ModelError, "run `thinkrec experts --dataset demo` again", half, system="thinkrec-no-projector")
    manifest = half / "data" / "demo" / "manifests" / "prep.json"
    manifest.write_text(manifest.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    refused(DataError, "run `thinkrec prep --dataset demo` again", half, system="mf")


def test_parameters_that_the_parts_were_not_made_with_are_refused(
    root: Path, chain: Chain, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(root, folder)
    prompt = chain.params.prompt.model_copy(update={"history_labels": False})
    write_params(folder, chain.params.model_copy(update={"prompt": prompt}))
    with pytest.raises(DataError, match=r"prompt\.history_labels: True, params\.yaml says False now"):
        thinkrec.load(folder, dataset="demo")
    assert len(thinkrec.load(folder, dataset="demo", system="mf").items)


@pytest.mark.slow
def test_a_sequence_encoder_makes_vectors_of_new_histories(chain: Chain, tmp_path: Path) -> None:
    from thinkrec.experts.cluster import cluster_users
    from thinkrec.stages import experts, projector

    layout: Layout = chain.copy(tmp_path)
    cluster = chain.params.cluster.model_copy(update={"encoder": "sasrec"})
    params = chain.params.model_copy(update={"cluster": cluster})
    cluster_users(layout, cluster, 7)
    experts.run(layout, params)
    projector.run(layout, params)
    seal(layout, params)
    write_params(layout.root, params)
    rec = thinkrec.load(layout.root, dataset="demo")
    items = list(rec.items)
    one = rec.score_history([(items[0], True), (items[1], True)], items[5:9])
    assert one.basis == "the history, and a vector that sasrec makes of it"
    plain = thinkrec.load(layout.root, dataset="demo", system="global")
    assert not np.allclose(
        one.scores, plain.score_history([(items[0], True), (items[1], True)], items[5:9]).scores
    )


def test_many_questions_are_answered_as_each_alone(rec: Recommender, data: Interactions) -> None:
    users, items = list(rec.users)[:6], list(rec.items)
    questions = [Question(user, items=free_items(rec, data, user, 3 + k)) for k, user in enumerate(users)]
    questions += [Question(user, k=2, why=user == users[1]) for user in users[:3]]
    questions += [Question(history=[(items[0], True), (items[1], False)], items=items[5:9])]
    wrong = [Question("nobody", k=2), Question(), Question(users[0], {}, items), Question(users[0], items=[])]
    answers = rec.answer([*wrong, *questions])
    assert all(isinstance(each, RequestError) for each in answers[: len(wrong)])
    assert rec.answer([]) == [] and [str(each) for each in rec.answer(wrong)] == [
        str(each) for each in answers[: len(wrong)]
    ]
    for question, answer in zip(questions, answers[len(wrong) :], strict=True):
        (alone,) = rec.answer([question])
        assert isinstance(answer, Scores) and isinstance(alone, Scores)
        assert (answer.items, answer.basis, answer.reasons) == (alone.items, alone.basis, alone.reasons)
        np.testing.assert_allclose(answer.scores, alone.scores, atol=1e-4)


def test_the_gates_decision_is_that_of_the_user(rec: Recommender, root: Path) -> None:
    gates = rec._project.fusion.gates.numpy()
    for number, user in enumerate(list(rec.users)[:6], 1):
        mixture = rec.recommend(user, 1).mixture
        assert mixture is not None and mixture.weights == tuple(gates[number].tolist())
        assert sum(mixture.weights) == pytest.approx(1)
    new = rec.recommend_history([(next(iter(rec.items)), True)], 1).mixture
    assert new is not None and new.weights[0] == 1 and str(new) == "global LoRA 1.00"
    assert (
        thinkrec.load(root, dataset="demo", system="mf").recommend(next(iter(rec.users)), 1).mixture is None
    )


def test_recommends_with_reasons(rec: Recommender, root: Path) -> None:
    user = list(rec.users)[3]
    best = rec.recommend(user, 3, why=True)
    assert best.reasons == tuple(rec.explain(user, item).reason for item in best.items)
    assert best.to_arrow().column_names == ["item", "title", "score", "reason"]
    assert rec.recommend(user, 3).reasons is None
    with pytest.raises(RequestError, match="mf gives no reasons"):
        thinkrec.load(root, dataset="demo", system="mf").recommend(user, 3, why=True)


def test_history_of_a_user(rec: Recommender, data: Interactions) -> None:
    user = list(rec.users)[3]
    own = data.user_id == rec.users.number(user)
    expected = [
        (list(rec.items)[k - 1], bool(label))
        for k, label in zip(data.item_id[own], data.label[own], strict=True)
    ]
    assert list(rec.history(user)) == expected
