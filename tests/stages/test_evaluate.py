"""Stage evaluate on the small run: what it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from scoring import measured_again
from small_chain import Chain

from thinkrec.config.sections import Params
from thinkrec.errors import ConfigError, MissingInputError, ModelError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import SHUFFLED
from thinkrec.stages import baselines, cf
from thinkrec.stages.evaluate import evaluate, explained
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.encoders import EncoderSystem
from thinkrec.systems.project import Project

BOUNDS = {"random", "popularity", "item_mean", "user_mean", "user_item_mean", "labels", "truth"}


def only(chain: Chain, *systems: str, protocols: tuple[Protocol, ...] = ("frozen", "rolling")) -> Params:
    """The run's parameters with these systems and protocols, and next to no bootstrap."""
    changed = {"systems": list(systems), "protocols": list(protocols), "bootstrap_draws": 5}
    return chain.params.model_copy(update={"evaluate": chain.params.evaluate.model_copy(update=changed)})


def scores(layout: Layout, protocol: Protocol, name: str) -> np.ndarray:
    return pq.read_table(layout.prediction(protocol, name))["score"].to_numpy()


def change(path: Path, how: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    save_file({name: how(name, value) for name, value in load_file(path).items()}, path)


@pytest.mark.parametrize(("protocol", "own"), [("frozen", set()), ("rolling", {"minus_running_mean"})])
def test_every_system_stands_beside_floors_and_ceilings(
    chain: Chain, protocol: Protocol, own: set[str]
) -> None:
    written = read_json(chain.layout.metrics)
    assert set(written) == {"frozen", "rolling", "reasons"}
    metrics = written[protocol]
    assert set(metrics) == {*chain.params.evaluate.systems, *BOUNDS, *own}
    splits = chain.facts["prep"]["splits"]
    for name in metrics:
        for split in ("valid", "test"):
            entry = metrics[name][split]
            assert entry["rows"] == splits[split]["rows"]
            for metric in ("auc", "uauc", "ndcg@5", "map@5"):
                assert 0 <= entry[f"{metric}_low"] <= entry[metric] <= entry[f"{metric}_high"] <= 1
            warm, cold = metrics[name][f"{split}/warm"], metrics[name][f"{split}/cold"]
            assert warm["rows"] + cold["rows"] == entry["rows"]
            assert warm["rows"] == splits[split]["warm"]
    assert metrics["labels"]["test"]["auc"] == metrics["labels"]["test"]["uauc"] == 1.0
    assert metrics["random"]["test"]["auc"] == 0.5
    assert metrics["truth"]["test"]["auc"] > 0.75


def test_metrics_can_be_computed_again_from_the_predictions(chain: Chain) -> None:
    metrics = read_json(chain.layout.metrics)
    draws, seed = chain.params.evaluate.bootstrap_draws, chain.params.seed
    for protocol in ("frozen", "rolling"):
        again = measured_again(chain.layout, protocol, draws, seed)
        for entry in metrics[protocol].values():
            entry.pop(SHUFFLED, None)  # of scores with other labels, which lie nowhere
        assert json.loads(json.dumps(again)) == metrics[protocol]


def test_the_facts_are_of_every_protocol(chain: Chain) -> None:
    metrics = read_json(chain.layout.metrics)
    for name in chain.params.evaluate.systems:
        assert chain.facts["evaluate"][name] == {
            protocol: {key: metrics[protocol][name]["test"][key] for key in ("auc", "uauc")}
            for protocol in ("frozen", "rolling")
        }


def test_what_reads_histories_scores_otherwise_under_each_protocol(chain: Chain) -> None:
    for name in chain.params.evaluate.systems:
        frozen, rolling = (scores(chain.layout, protocol, name) for protocol in ("frozen", "rolling"))
        assert np.array_equal(frozen, rolling) == (name in ("mf", "lightgcn")), name


@pytest.mark.parametrize(("name", "each"), [("mf", 1), ("sasrec", 2)])
def test_what_reads_no_history_is_scored_once(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, each: int
) -> None:
    """A training, that is; the chain's encoders were trained with two seeds."""
    asked, original = [], EncoderSystem.score

    def watched(self: EncoderSystem, candidates: Candidates) -> np.ndarray:
        asked.append((self.folder.name, candidates.protocol))
        return original(self, candidates)

    monkeypatch.setattr(EncoderSystem, "score", watched)
    monkeypatch.setattr("thinkrec.stages.evaluate.cheap_controls", lambda *_: {})  # it scores by itself
    layout = chain.copy(tmp_path)
    evaluate(layout, only(chain, name), 7)
    protocols = ("frozen", "rolling")[:each]
    assert asked == [(folder, protocol) for folder in (name, "8") for protocol in protocols]
    for protocol in ("frozen", "rolling"):
        assert np.array_equal(scores(layout, protocol, name), scores(chain.layout, protocol, name))
        seeds = (each.seed_prediction(protocol, name, 8) for each in (layout, chain.layout))
        assert np.array_equal(*(pq.read_table(path)["score"].to_numpy() for path in seeds))


def test_one_protocol_alone(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    facts = evaluate(layout, only(chain, "sasrec", "gbdt", protocols=("rolling",)), 7)
    assert set(read_json(layout.metrics)) == set(read_json(layout.slices)) == {"rolling"}
    assert set(read_json(layout.differences)) == {"reference", "draws", "seed", "rolling"}
    assert [path.name for path in layout.predictions.iterdir()] == ["rolling"]
    assert list(facts["sasrec"]) == ["rolling"]
    for name in ("sasrec", "gbdt", "minus_running_mean"):
        assert np.array_equal(scores(layout, "rolling", name), scores(chain.layout, "rolling", name))


def test_a_random_split_is_evaluated_under_rolling_histories(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    table = pq.read_table(layout.interactions)
    drawn = np.random.default_rng(1).choice(["train", "valid", "test"], len(table), p=[0.7, 0.15, 0.15])
    place = table.schema.get_field_index("split")
    random = pa.array(drawn).cast(table.schema.field("split").type)
    pq.write_table(table.set_column(place, table.schema.field("split"), random), layout.interactions)
    params = only(chain, "mf", "sasrec", "gbdt")
    section = params.cf.model_copy(update={"models": ["mf", "sasrec"], "seeds": 1})
    params = params.model_copy(update={"cf": section})
    words = r"set `choose_by: rolling` and `evaluate.protocols: \[rolling\]` in params.yaml"
    for stage in (cf, baselines):
        with pytest.raises(ConfigError, match=words):
            stage.run(layout, params)
    params = params.model_copy(update={"choose_by": "rolling"})
    for stage in (cf, baselines):
        stage.run(layout, params)
    before = layout.metrics.read_bytes()
    with pytest.raises(ConfigError, match=words):
        evaluate(layout, params, 7)
    assert layout.metrics.read_bytes() == before
    rolling = params.evaluate.model_copy(update={"protocols": ["rolling"]})
    evaluate(layout, params.model_copy(update={"evaluate": rolling}), 7)
    metrics = read_json(layout.metrics)
    assert set(metrics) == {"rolling"}
    assert set(metrics["rolling"]) == {"mf", "sasrec", "gbdt", "minus_running_mean", *BOUNDS}
    assert metrics["rolling"]["gbdt"]["test"]["rows"] == (drawn == "test").sum()


@pytest.mark.parametrize("protocol", ["frozen", "rolling"])
def test_predictions_hold_finite_scores_that_differ(chain: Chain, protocol: Protocol) -> None:
    seen = []
    for name in chain.params.evaluate.systems:
        score = scores(chain.layout, protocol, name)
        assert score.dtype == np.float32
        assert np.isfinite(score).all()
        seen.append(score)
    for number, score in enumerate(seen):
        assert all(np.abs(score - other).max() > 1e-4 for other in seen[:number])


def test_reasons_stand_beside_the_teachers(chain: Chain) -> None:
    lines = chain.layout.reasons.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == chain.params.evaluate.reasons
    rationales = {
        (row["user_id"], row["position"]): row
        for row in pq.read_table(chain.layout.rationales).to_pylist()
        if row["split"] == "test"
    }
    for line in found:
        teacher = rationales[line["user_id"], line["position"]]
        assert teacher["rationale"] in line.values()
        assert line["label"] == teacher["label"]
    assert "thinkrec" in read_json(chain.layout.metrics)["reasons"]


def scored_like(layout: Layout, protocol: Protocol) -> bool:
    """Whether the reasons' scores are the predictions under a protocol."""
    table = pq.read_table(layout.prediction(protocol, "thinkrec")).to_pylist()
    known = {(row["user_id"], row["position"]): row["score"] for row in table}
    lines = [json.loads(line) for line in layout.reasons.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 6
    wanted = [known[line["user_id"], line["position"]] for line in lines]
    return bool(np.allclose([line["score"] for line in lines], wanted, atol=1e-3))


def test_reasons_are_of_the_first_protocol(chain: Chain, tmp_path: Path) -> None:
    assert scored_like(chain.layout, "frozen") and not scored_like(chain.layout, "rolling")
    layout = chain.copy(tmp_path)
    evaluate(layout, only(chain, "thinkrec", protocols=("rolling", "frozen")), chain.params.seed)
    assert scored_like(layout, "rolling") and not scored_like(layout, "frozen")
    assert set(read_json(layout.metrics)) == {"rolling", "frozen", "reasons"}


def test_an_unknown_system_is_refused_before_anything_is_scored(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = chain.copy(tmp_path)
    monkeypatch.setattr(
        EncoderSystem, "score", lambda *_: pytest.fail("scored before the names were checked")
    )
    with pytest.raises(ConfigError) as error:
        evaluate(layout, only(chain, "mf", "thinkreck"), 7)
    assert str(error.value).startswith(
        "evaluate.systems: no system is called 'thinkreck'; did you mean 'thinkrec'? There are random, "
        "popularity, item_mean, user_mean, user_item_mean, minus_running_mean, mf, mf_no_biases, lightgcn, "
        "sasrec, gsasrec, sasrec_labels, gsasrec_labels, gbdt, backbone, global, thinkrec-no-projector, "
    )


@pytest.mark.parametrize("system", ["global", "thinkrec-no-projector", "thinkrec"])
@pytest.mark.parametrize("which", ["all", "one"])
def test_an_adapter_of_zeros_is_an_error(chain: Chain, tmp_path: Path, system: str, which: str) -> None:
    layout = chain.copy(tmp_path)
    adapters = {"global": [layout.global_adapter]}.get(system, [layout.expert(1), layout.expert(2)])
    if which == "all" and system != "global":
        adapters = [layout.global_adapter, *adapters]
    for folder in adapters if which == "all" else adapters[-1:]:
        path = folder / "adapter_model.safetensors"
        change(path, lambda name, value: value * 0 if "lora_B" in name else value)
    before = layout.metrics.read_bytes()
    with pytest.raises(ModelError, match=r"untrained or not applied; train it again$"):
        evaluate(layout, only(chain, system), 7)
    assert layout.metrics.read_bytes() == before


def test_a_projector_that_changes_nothing_is_an_error(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    path = layout.projector / "projector.safetensors"
    change(path, lambda name, value: value if name == "spread" else value * 0)
    with pytest.raises(
        ModelError, match=r"^the projector of thinkrec .* untrained or not applied; train it again$"
    ):
        evaluate(layout, only(chain, "thinkrec"), 7)


def test_adapters_of_another_backbone_are_refused(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    path = layout.global_adapter / "adapter_model.safetensors"
    change(path, lambda name, value: torch.cat([value, value], 1) if "lora_A" in name else value)
    with pytest.raises(ModelError, match="has other shapes than the backbone or its fellows"):
        evaluate(layout, only(chain, "global"), 7)


def test_the_report_names_a_backbone_without_its_place(chain: Chain, tmp_path: Path) -> None:
    layout, folder = chain.copy(tmp_path), tmp_path / "my-model"
    shutil.copytree(chain.params.backbone.model, folder)
    noted = layout.backbone / "backbone.json"
    write_json(noted, read_json(noted) | {"model": str(folder)})
    evaluate(layout, only(chain, "backbone"), 7)
    page = layout.page.read_text(encoding="utf-8")
    assert "my-model" in page
    assert str(tmp_path) not in page


def test_groups_of_another_encoder_are_refused(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    params = only(chain, "thinkrec-no-projector")
    params = params.model_copy(update={"cluster": params.cluster.model_copy(update={"encoder": "mf"})})
    with pytest.raises(ModelError) as error:
        evaluate(layout, params, 7)
    assert str(error.value) == (
        f"{layout.clusters} was made with lightgcn, params.yaml (cluster.encoder) says mf: run "
        "`thinkrec cluster --dataset demo` and the stages after it again"
    )


def test_a_missing_stage_is_named(chain: Chain, tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    with pytest.raises(MissingInputError, match="`thinkrec prep --dataset demo` makes it"):
        evaluate(layout, chain.params, 7)
    copied = chain.copy(tmp_path)
    copied.encoder("mf").rename(tmp_path / "away")
    with pytest.raises(MissingInputError, match="`thinkrec cf --dataset demo` makes it"):
        evaluate(copied, only(chain, "mf"), 7)


def test_the_same_seed_writes_the_same_numbers(chain: Chain, tmp_path: Path) -> None:
    layout = chain.copy(tmp_path)
    evaluate(layout, chain.params, chain.params.seed)
    for name in chain.params.evaluate.systems:
        for protocol in ("frozen", "rolling"):
            old, new = (pq.read_table(each.prediction(protocol, name)) for each in (chain.layout, layout))
            assert old.equals(new)
    assert layout.metrics.read_bytes() == chain.layout.metrics.read_bytes()
    assert layout.reasons.read_bytes() == chain.layout.reasons.read_bytes()


def test_reasons_are_measured_beside_floors_and_the_teacher_asked_twice(chain: Chain) -> None:
    measured = read_json(chain.layout.metrics)["reasons"]
    assert set(measured) == {"thinkrec", "common_rationale", "nearest_rationale", "teacher_again"}
    count = chain.params.evaluate.reasons
    for each in measured.values():
        (meteor,) = (each[name] for name in ("meteor", "meteor_exact_stem") if name in each)
        assert meteor["rows"] == count and 0 <= meteor["low"] <= meteor["value"] <= meteor["high"] <= 1
        parts = [meteor[part] for part in ("hinted", "unhinted") if part in meteor]
        assert sum(part["rows"] for part in parts) == count
        assert each["bleurt"]["value"] is None and "evaluate.bleurt" in each["bleurt"]["reason"]
    own, again = measured["thinkrec"], measured["teacher_again"]
    assert own["verdict_fits_score"]["rows"] == count
    assert again["verdict_fits_score"]["reason"] == "it has no score"
    for rule in ("polarity_fits_verdict", "titles_in_prompt", "claims_fit_labels"):
        assert again[rule]["value"] in (1.0, None), rule
    assert again["rouge_l"]["value"] > own["rouge_l"]["value"]
    page, text = chain.layout.page.read_text("utf-8"), chain.layout.page_text.read_text("utf-8")
    for said in (page, text):
        assert "Hinted / unhinted" in said and "nearest_rationale: floor" in said
    assert "| rouge_l | " in text


def test_an_endpoints_teacher_is_not_asked_again(chain: Chain, tmp_path: Path) -> None:
    from thinkrec.reports.reasons import reason_metrics, spoken_of

    layout = chain.copy(tmp_path)
    table = pq.read_table(layout.rationales)
    teachers = pa.array(["QwQ"] * len(table))
    place = table.schema.get_field_index("teacher")
    pq.write_table(table.set_column(place, "teacher", teachers), layout.rationales)
    project = Project(layout, chain.params)
    asked, texts = explained(project, 7)
    lines = [json.loads(line) for line in layout.reasons.read_text("utf-8").splitlines()]
    found = reason_metrics(layout, project.data, chain.params, asked.rows, texts, spoken_of(lines), 7)
    assert {each["value"] for each in found["teacher_again"].values()} == {None}
    assert "second answers cost time and money" in found["teacher_again"]["rouge_l"]["reason"]
    assert found["thinkrec"] == read_json(layout.metrics)["reasons"]["thinkrec"]


def test_what_one_side_alone_could_measure_is_not_compared() -> None:
    from thinkrec.reports.reasons import comparable

    value, absent = {"value": 0.5, "rows": 2}, {"value": None, "reason": "no model"}
    one = {"a": {"meteor": value, "bleurt": value, "rouge_l": value}}
    other = {"a": {"meteor_exact_stem": value, "bleurt": absent, "rouge_l": {"value": 0.4, "rows": 2}}}
    assert comparable(one, other) == ({"a": {"rouge_l": value}}, {"a": {"rouge_l": other["a"]["rouge_l"]}})
    assert comparable(one, {}) == (one, {})


def test_two_systems_that_say_why(chain: Chain, tmp_path: Path) -> None:
    """As if the variant without keywords had scored and said the same; the audit measures both again."""
    from dataclasses import replace

    from thinkrec.audit.reports import check_reasons
    from thinkrec.reports.page import SampleReason
    from thinkrec.stages.evaluate import measure_reasons

    layout, other = chain.copy(tmp_path), "thinkrec-no-keywords"
    shutil.copyfile(layout.prediction("frozen", "thinkrec"), layout.prediction("frozen", other))
    project = Project(layout, chain.params)
    keys = SampleReason.__dataclass_fields__
    lines = [json.loads(line) for line in layout.reasons.read_text("utf-8").splitlines()]
    said = [SampleReason(**{key: line[key] for key in keys}) for line in lines]
    found = measure_reasons(project, [*said, *(replace(each, system=other) for each in said)], 7)
    assert list(found) == ["thinkrec", other, "common_rationale", "nearest_rationale", "teacher_again"]
    assert found["thinkrec"] == found[other] == read_json(layout.metrics)["reasons"]["thinkrec"]
    told = [json.loads(line) for line in layout.reasons.read_text("utf-8").splitlines()]
    assert told == [*lines, *(line | {"system": other} for line in lines)]
    write_json(layout.metrics, read_json(layout.metrics) | {"reasons": found})
    assert check_reasons(layout, project.data, chain.params).verdict == "passed"
    told[-1]["reason"] = "Yes. Something else."
    layout.reasons.write_text("".join(f"{json.dumps(line)}\n" for line in told))
    assert "metrics.json disagrees about" in check_reasons(layout, project.data, chain.params).said
