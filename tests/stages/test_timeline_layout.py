"""The language model's stages with `layout: timeline`, from the global adapter to the reasons."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from small_chain import LANGUAGE, Chain

from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, ModelError
from thinkrec.layout import Layout
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.examples import Rationales, asked_of, asked_one_by_one, timeline_samples
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.student import Student
from thinkrec.prompts.render import PromptWriter
from thinkrec.stages import experts, global_, projector
from thinkrec.stages.evaluate import evaluate
from thinkrec.stages.export import export
from thinkrec.systems.fusion import load_fusion, load_student


@pytest.fixture(scope="module")
def trained(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Chain]:
    layout = chain.copy(tmp_path_factory.mktemp("timeline"))
    prompt = chain.params.prompt.model_copy(update={"layout": "timeline"})
    params = chain.params.model_copy(update={"prompt": prompt})
    facts = {
        "global": global_.run(layout, params),
        "experts": experts.run(layout, params),
        "projector": projector.run(layout, params),
        "evaluate": evaluate(layout, params, params.seed),
    }
    return layout, Chain(layout, params, facts)


def test_every_system_is_scored_and_says_why(trained: tuple[Layout, Chain]) -> None:
    layout, chain = trained
    metrics = json.loads(layout.metrics.read_text())
    for protocol in ("frozen", "rolling"):
        for name in LANGUAGE:
            assert 0 < metrics[protocol][name]["test"]["auc"] < 1
    reasons = [json.loads(line) for line in layout.reasons.read_text().splitlines()]
    assert len(reasons) == chain.params.evaluate.reasons
    assert not layout.work("reasons").exists()


def test_many_questions_in_a_row_score_as_one_by_one(trained: tuple[Layout, Chain]) -> None:
    """Guarantee 3, with experts mixed per user and vectors in the prompt."""
    layout, chain = trained
    loaded = load_backbone(layout.backbone)
    params = chain.params
    fusion = load_fusion(layout, params.cluster.encoder, params.gate)
    data = Interactions.load(layout.interactions)
    writer, rows = (
        PromptWriter.load(layout, loaded.tokenizer, params.prompt, vectors=True),
        data.rows("test")[:30],
    )
    many = asked_of(writer, data, rows)
    student = load_student(layout, loaded, fusion, "thinkrec", many, "yes_minus_no", params.prompt)
    assert len(many.rows) < len(rows)
    alone = list(asked_one_by_one(writer, data, rows))
    one = Asked([([number], row) for number, row in enumerate(alone)], many.user, many.label)
    found = score(student, loaded, many, 64, "yes_minus_no")
    np.testing.assert_allclose(score(student, loaded, one, 1, "yes_minus_no"), found, atol=1e-4)
    assert np.ptp(found) > 1e-3


def test_training_asks_every_row_once_and_every_rationale(trained: tuple[Layout, Chain]) -> None:
    """The kinds keep the shares that the mixture gives them."""
    layout, chain = trained
    data, loaded = Interactions.load(layout.interactions), load_backbone(layout.backbone)
    writer = PromptWriter.load(layout, loaded.tokenizer, chain.params.prompt, vectors=False)
    rows, rationales = data.rows("train"), Rationales.load(layout, data, "train")
    loss = chain.params.loss
    laid = timeline_samples(writer, data, rows, rationales, loss, 1.0, 7)
    targets = [target for row in laid for target in row.targets]
    verdicts = [target for target in targets if len(target.answer) == 1]
    reasons = [target for target in targets if len(target.answer) > 1]
    assert sorted(target.row for target in verdicts) == rows.tolist()
    assert sorted(target.row for target in reasons) == sorted(rationales.rows.tolist())
    share = sum(target.ce / loss.reasoning_ce for target in reasons)
    share /= share + sum(target.ce / loss.recommendation_ce for target in verdicts)
    assert share == pytest.approx(loss.reasoning_share)
    assert all(target.answer[0] == loaded.answers[1 - target.label] for target in targets)
    assert len(timeline_samples(writer, data, rows, rationales, loss, 0.5, 7)) == round(len(laid) / 2)


@pytest.mark.parametrize("kind", ["prompt", "timeline"])
def test_candidates_score_as_if_they_had_been_met(trained: tuple[Layout, Chain], kind: str) -> None:
    """Other items asked about at a row's moment, against data in which the row holds them."""
    layout, chain = trained
    loaded, data = load_backbone(layout.backbone), Interactions.load(layout.interactions)
    prompt = chain.params.prompt.model_copy(update={"layout": kind})
    writer, row = (
        PromptWriter.load(layout, loaded.tokenizer, prompt, vectors=False),
        int(data.rows("test")[0]),
    )
    items = np.array([3, 7, 11])
    many = asked_of(writer, data, np.full(len(items), row), items)
    found = score(Student(loaded), loaded, many, 8, "yes_minus_no")
    expected = []
    for item in items:
        item_id = data.item_id.copy()
        item_id[row] = item
        one = asked_of(writer, replace(data, item_id=item_id), np.array([row]))
        expected += score(Student(loaded), loaded, one, 8, "yes_minus_no").tolist()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(found) > 1e-3


def test_adapters_of_another_layout_are_refused(trained: tuple[Layout, Chain]) -> None:
    layout, chain = trained
    other = chain.params.model_copy(
        update={"prompt": chain.params.prompt.model_copy(update={"layout": "prompt"})}
    )
    with pytest.raises(ModelError, match=r"prompt\.layout timeline, params.yaml says prompt"):
        evaluate(layout, other, other.seed)
    with pytest.raises(ModelError, match=r"global was trained with prompt\.layout timeline"):
        experts.run(layout, other)
    with pytest.raises(ConfigError, match=r"prompt\.layout is timeline, and other engines use prompts"):
        export(layout, chain.params, "global", layout.root / "exported", chain.params.seed)
