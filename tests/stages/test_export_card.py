"""The model card of an export, and its snippets, run as a reader would run them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from small_chain import Chain

import thinkrec
from thinkrec.config.sections import Params
from thinkrec.config.sources import DemoSource, Ml1mSource, YelpSource
from thinkrec.config.write import params_text
from thinkrec.data.tables import Interactions, Items
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.llm.sources import KNOWN
from thinkrec.stages.card import LICENCES, TERMS, base, best_encoder, card, example, figure, which_rows
from thinkrec.stages.export import export
from thinkrec_cli.main import run

Shown = tuple[Path, dict[str, Any]]


def named(params: Params, raw: Path) -> Params:
    """The chain's parameters, with where its raw files lie."""
    source = DemoSource(reader="demo", raw=str(raw), watch=str(raw), split=params.datasets["demo"].split)
    return params.model_copy(update={"datasets": {"demo": source}})


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks of a card."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def printed(code: str) -> str:
    """What a snippet prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.fixture(scope="module")
def exported(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The global LoRA's export, and what it was said to be."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    params = named(chain.params, chain.layout.root / "raw")
    return folder, export(chain.layout, params, "global", folder, 7)


@pytest.fixture(scope="module")
def text(exported: Shown) -> str:
    return (exported[0] / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_the_header(exported: Shown) -> None:
    data = ModelCard.load(exported[0] / "README.md").data.to_dict()
    assert data == {
        "license": "other", "library_name": "peft", "language": "en",
        "tags": ["thinkrec", "recommendation", "lora"], "metrics": ["auc", "uauc", "ndcg@5", "map@5"],
    }  # fmt: skip


def test_a_local_backbone_is_asked_for(text: str) -> None:
    said = "`llama`, a folder of whoever trained this, which is not on the hub. Ask them for it, and for its"
    assert f"{said} licence." in text


def test_a_licence_that_is_not_known_is_on_the_backbones_page(
    chain: Chain, tmp_path: Path, exported: Shown
) -> None:
    layout = chain.copy(tmp_path)
    write_json(layout.backbone / "backbone.json", {"model": "some/Model", "revision": None})
    said = card(layout, chain.params, Interactions.load(layout.interactions), "global", exported[1])
    header = ModelCard(said).data
    assert (header.license, header.license_name) == ("other", "that-of-the-backbone")
    assert header.license_link == "https://huggingface.co/some/Model" and header.base_model == "some/Model"


@pytest.mark.parametrize(
    ("trained", "exported_at", "words"),
    [
        ("none", "none", "Exported by thinkrec"),
        ("a1", "none", "Trained at commit `a1`, exported by thinkrec"),
        ("none", "b2", "Exported at commit `b2` by thinkrec"),
        ("a1", "b2", "Trained at commit `a1`, exported at commit `b2` by thinkrec"),
    ],
)
def test_commits_are_named_where_there_are_any(
    chain: Chain, exported: Shown, monkeypatch: pytest.MonkeyPatch,
    trained: str, exported_at: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("thinkrec.stages.card.read_record", lambda layout, stage: {"commit": trained})
    monkeypatch.setattr("thinkrec.stages.card.commit", lambda: exported_at)
    data = Interactions.load(chain.layout.interactions)
    last = card(chain.layout, chain.params, data, "global", exported[1]).rstrip().splitlines()[-1]
    assert last == f"Seed 7. {words} {thinkrec.__version__}."


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"auc": 0.73051, "auc_low": 0.6989, "auc_high": 0.764}, "0.731 [0.699, 0.764]"),
        ({"auc": 0.5}, "0.500"), ({"auc": None, "auc_low": None, "auc_high": None}, "-"), ({}, "-"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(entry: dict[str, float | None], words: str) -> None:
    assert figure(entry, "auc") == words


def test_it_says_what_was_trained_on(text: str, chain: Chain) -> None:
    said = re.search(r"`demo`: ([\d,]+) train rows \(([\d,]+) likes\) of ([\d,]+) users", text)
    data = Interactions.load(chain.layout.interactions)
    train = data.rows("train")
    assert said is not None
    assert [int(each.replace(",", "")) for each in said.groups()] == [
        len(train), int(data.label[train].sum()), len(np.unique(data.user_id[train])),
    ]  # fmt: skip
    assert (
        "Generated by thinkrec" in text and "Keywords of items: tfidf. Reasons in training: template." in text
    )
    assert "# The global LoRA of `thinkrec` on `demo`" in text
    assert str(chain.layout.root) not in text


def test_figures_of_both_protocols_stand_beside_floors(text: str, chain: Chain) -> None:
    metrics = read_json(chain.layout.metrics)
    parts = text.split("\nProtocol ")[1:]
    assert [part.split(":")[0] for part in parts] == ["frozen", "rolling"]
    for part in parts:
        measured = metrics[part.split(":")[0]]
        own, seeds = measured["global"]["test"], measured["gbdt"]["test/seeds"]
        assert "| system | AUC | UAUC | NDCG@5 | MAP@5 |" in part
        value = f"{own['auc']:.3f} [{own['auc_low']:.3f}, {own['auc_high']:.3f}]"
        assert f"| global: the global LoRA | {value} |" in part
        encoders = [name for name in ("mf", "lightgcn", "sasrec", "gsasrec_labels") if f"| {name} |" in part]
        assert encoders == best_encoder(measured)
        assert "| user_item_mean (floor) |" in part and "| gbdt |" in part
        means = " | ".join(f"{seeds[f'{metric}_mean']:.3f}" for metric in ("auc", "uauc", "ndcg@5", "map@5"))
        assert f"| gbdt, mean of 2 trainings | {means} |" in part
        said = (
            "`global` is this LoRA alone. `thinkrec-no-projector` and `thinkrec` contain this LoRA as a part."
            " All other rows are for comparison."
        )
        assert f"\n{said}\n" in part
    assert (
        text.count(
            "A trained system's row is one training, with seed 7. Where the report's first table has means"
        )
        == 1
    )


@pytest.mark.parametrize(
    ("systems", "adapter", "words"),
    [
        (
            ["backbone", "thinkrec"], "global",
            "`thinkrec` contains this LoRA as a part. No row is this LoRA alone: it was not evaluated alone.",
        ),
        (
            ["global", "thinkrec-no-projector", "thinkrec"], "2",
            "`thinkrec-no-projector` and `thinkrec` contain this LoRA as a part. No row is this LoRA alone: "
            "it was not evaluated alone.",
        ),
        (["tallrec"], "global", "`tallrec` is this LoRA alone."),
        (
            ["collm-no-projector", "collm"], "global",
            "`collm-no-projector` is this LoRA alone. `collm` contains this LoRA as a part.",
        ),
        ([], "global", "No row is this LoRA alone: it was not evaluated alone."),
    ],
)  # fmt: skip
def test_rows_with_the_lora_are_told_from_those_without(systems: list[str], adapter: str, words: str) -> None:
    assert which_rows(systems, adapter) == f"{words} All other rows are for comparison."


@pytest.mark.parametrize("change", ["gone", "edited", "of other weights"])
def test_figures_that_are_not_of_these_weights_are_not_shown(
    chain: Chain, tmp_path: Path, exported: Shown, change: str
) -> None:
    layout = chain.copy(tmp_path)
    if change == "gone":
        layout.metrics.unlink()
    elif change == "edited":
        layout.metrics.write_text(layout.metrics.read_text().replace("0.5", "0.9"))
    else:
        manifest = layout.manifest("global")
        files = read_json(manifest)
        files["outputs"]["global_adapter"]["adapter_model.safetensors"]["sha256"] = "0" * 64
        write_json(manifest, files)
    data = Interactions.load(layout.interactions)
    said = card(layout, chain.params, data, "global", exported[1])
    assert "Not evaluated: there is no report." in said or "Not evaluated: the report is of other" in said
    assert ("no report" in said) == (change == "gone")
    assert "Protocol frozen" not in said and "gbdt" not in said


def test_an_expert_says_that_it_is_a_part(chain: Chain, exported: Shown) -> None:
    data = Interactions.load(chain.layout.interactions)
    rows = []
    for adapter in ("1", "2"):
        said = card(chain.layout, chain.params, data, adapter, exported[1])
        assert f"# Expert {adapter} of `thinkrec` on `demo`" in said
        assert (
            f"with the users of group {adapter} alone" in said
            and "it was not evaluated alone" in said
            and "`global`" not in said
        )
        (found,) = re.findall(r": ([\d,]+) train rows", said)
        rows.append(int(found.replace(",", "")))
    assert min(rows) > 0 and sum(rows) <= len(data.rows("train"))


def test_the_first_snippet_gives_the_score_that_it_says_as_it_stands(
    exported: Shown, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the merged weights, in a folder that has nothing else but how to score."""
    shutil.copytree(exported[0] / "merged", tmp_path / "merged")
    shutil.copy(exported[0] / "scoring.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    own, said = map(float, printed(blocks(text, "python")[0]).split())
    assert own == pytest.approx(said, abs=1e-4)


def with_peft(text: str, chain: Chain) -> str:
    """The first two snippets, with the backbone's folder put where the card says so."""
    first, second, _ = blocks(text, "python")
    line = 'BACKBONE = "path/of/llama"  # put the path of the backbone\'s folder here\n'
    assert line in second
    return first + second.replace(line, f"BACKBONE = {chain.params.backbone.model!r}\n")


def test_by_the_second_snippet_all_scores_of_parity_come_out(
    exported: Shown, text: str, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported[0])
    snippets = with_peft(text, chain)
    for each in read_json(exported[0] / "parity.json")["prompts"][::7]:
        asked = f"\nprint(score({each['prompt']!r}))"
        _, _, own, said, last = map(float, printed(snippets + asked).split())
        assert (own, last) == pytest.approx((said, each["thinkrec"]), abs=1e-4)


def test_the_third_snippet_scores_as_the_project_does(
    exported: Shown, text: str, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In a new project: what the card says of params.yaml, its commands, its code."""
    folder, _ = exported
    third = blocks(text, "python")[-1]
    (commands,) = blocks(text, "sh")
    given = named(chain.params, chain.layout.root / "raw")
    backbone = Params().backbone.model_copy(update={"model": str(folder / "merged")})
    prompt = type(given.prompt).model_validate(read_json(folder / "scoring.json")["prompt"])
    (tmp_path / "params.yaml").write_text(
        params_text(Params(datasets=given.datasets, backbone=backbone, prompt=prompt, demo=given.demo)),
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert commands.startswith("thinkrec fetch demo\n")
    for line in commands.splitlines():
        assert run(shlex.split(line)[1:]) == 0
    (tmp_path / "first").mkdir()
    copied = chain.copy(tmp_path / "first").root
    (copied / "params.yaml").write_text(params_text(given), encoding="utf-8")
    ours = thinkrec.load(copied, dataset="demo", system="global")
    wanted = ours.recommend(next(iter(ours.users)), k=5, candidates=list(ours.items)[:20])
    shown = printed(third)
    assert [line.split()[1] for line in shown.splitlines()[1:]] == list(wanted.items)
    scores = [float(line.split()[-1]) for line in shown.splitlines()[1:]]
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-4)


def test_what_is_shared_of_data_with_terms_has_no_row_of_them(chain: Chain, tmp_path: Path) -> None:
    free = named(chain.params, chain.layout.root / "raw")
    bound = free.model_copy(update={"datasets": {"demo": Ml1mSource(reader="ml1m")}})
    for name, params, shared, kept in (
        ("own", bound, False, True), ("sent", bound, True, False), ("demo", free, True, True),
    ):  # fmt: skip
        export(chain.layout, params, "global", tmp_path / name, 7, shared)
        lines = read_json(tmp_path / name / "parity.json")["prompts"]
        ways = {"thinkrec", "merged", "peft", "bare"}
        assert len(lines) == 20 and all(set(line) >= ways and ("prompt" in line) == kept for line in lines)
        if not kept:
            assert all(set(line) == ways for line in lines)
            every = "".join(path.read_text() for path in (tmp_path / name).glob("*.*"))
            titles = Items.load(chain.layout.items).title
            assert not [title for title in titles[1:] if title in every]
            assert "forbid to pass the data on" in " ".join(every.split())


def test_the_licence_of_the_backbone_goes_along(chain: Chain, tmp_path: Path) -> None:
    from small_chain import own_backbone

    layout = chain.copy(tmp_path)
    folder = own_backbone(layout)
    (folder / "LICENSE.txt").write_text("its words")
    (folder / "notes.txt").write_text("not these")
    export(layout, named(chain.params, layout.root / "raw"), "global", tmp_path / "out", 7)
    assert (tmp_path / "out" / "merged" / "LICENSE.txt").read_text() == "its words"
    assert not (tmp_path / "out" / "merged" / "notes.txt").exists()


HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize(
    ("noted", "hub", "load", "revision", "licence"),
    [
        (
            {"model": "smollm2", "origin": {"source": "the hub, x at y", "about": "as published"}},
            HUB, HUB, KNOWN["smollm2"].revision, "apache-2.0",
        ),
        (
            {"model": "smollm2", "origin": {"source": "the package p", "about": "4-bit weights"}},
            HUB, "models/backbones/smollm2", None, "apache-2.0",
        ),
        ({"model": "Qwen/Qwen3-0.6B"}, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "r1", "apache-2.0"),
        ({"model": "some/Model"}, "some/Model", "some/Model", "r1", None),
        ({"model": "/data/secret/L"}, None, "L", None, None),
    ],
)  # fmt: skip
def test_backbones_and_their_licences(
    tmp_path: Path, noted: dict[str, Any], hub: str | None, load: str, revision: str | None,
    licence: str | None,
) -> None:  # fmt: skip
    layout = Layout("demo", tmp_path)
    write_json(layout.backbone / "backbone.json", {"revision": "r1", **noted})
    found = base(layout)
    assert (found.hub, found.load, found.revision, found.licence) == (hub, load, revision, licence)
    assert "/data" not in found.about


@pytest.mark.parametrize(
    ("about", "line", "told"),
    [
        ("as published", f'BACKBONE = "{HUB}"\n', False),
        (
            "4-bit weights", 'BACKBONE = "path/of/smollm2"  # put the path of the backbone\'s folder here\n',
            True,
        ),
    ],
)  # fmt: skip
def test_the_hubs_backbone_is_named_where_its_weights_are_the_ones(
    chain: Chain, tmp_path: Path, exported: Shown, about: str, line: str, told: bool
) -> None:
    layout = chain.copy(tmp_path)
    origin = {"source": "somewhere", "about": about}
    write_json(layout.backbone / "backbone.json", {"model": "smollm2", "revision": None, "origin": origin})
    said = card(layout, chain.params, Interactions.load(layout.interactions), "global", exported[1])
    assert line in blocks(said, "python")[1]
    assert (f"Its weights are not quite those of `{HUB}` on the hub" in said) == told
    assert ("HF_HUB_OFFLINE=1 thinkrec fetch smollm2` makes that folder" in said) == told
    assert (f'BACKBONE, revision="{KNOWN["smollm2"].revision}", dtype=' in said) != told


def test_raw_files_that_no_fetch_brings_are_put_there(chain: Chain, exported: Shown) -> None:
    params = chain.params.model_copy(update={"datasets": {"demo": YelpSource(reader="yelp")}})
    said = card(chain.layout, params, Interactions.load(chain.layout.interactions), "global", exported[1])
    assert "Put the raw files where `raw` of the data set says. Then:" in said
    assert "thinkrec fetch" not in said


def test_every_reader_has_its_terms_and_every_preset_a_licence() -> None:
    from typing import get_args

    from thinkrec.config.presets import PRESETS, preset_values
    from thinkrec.config.sources import Source

    readers = {kind.model_fields["reader"].annotation for kind in get_args(get_args(Source)[0])}
    assert {get_args(each)[0] for each in readers} == set(TERMS)
    models = {preset_values(name).get("backbone.model", "smollm2") for name in PRESETS}
    assert "Qwen/Qwen3-0.6B" in models and models - {"smollm2"} <= set(LICENCES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, 'Liked "The First Film" (space, crew, rescue)'),
        ({"keywords": 0}, 'Liked "The First Film"\n'),
        ({"history_labels": False}, 'Rated "The First Film"'),
        ({"history_items": "liked"}, 'Liked "The First Film"'),
        ({"reception": True}, 'Liked "The First Film" (broad appeal, space, crew, rescue)'),
    ],
)
def test_the_example_is_a_prompt_as_the_variant_has_it(
    chain: Chain, change: dict[str, Any], words: str
) -> None:
    from thinkrec.llm.backbone import load_tokenizer
    from thinkrec.prompts.render import PromptWriter

    prompt = chain.params.prompt.model_copy(update=change)
    found = example(PromptWriter.load(chain.layout, load_tokenizer(chain.layout.backbone), prompt))
    assert words in found["prompt"]
    assert ("The Second Film" in found["prompt"]) == (change.get("history_items") != "liked")
