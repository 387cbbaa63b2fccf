"""Leaks, each planted in one artifact of a finished run with all else kept consistent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from tamper import Row, change

from thinkrec.audit.retrain import ITEM, USER, train_again
from thinkrec.baselines.features import features
from thinkrec.baselines.gbdt import Boosting, Gbdt, fit_gbdt
from thinkrec.config.sections import Params
from thinkrec.data.database import connect, run_sql
from thinkrec.data.graph import make_graph
from thinkrec.data.tables import Interactions
from thinkrec.experts.cluster import cluster_users
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol

Plant = Callable[[Layout, Interactions, Params], None]


@dataclass(frozen=True)
class Leak:
    """A leak.

    Args:
        artifact: what a failing check must call it.
        part: of the audit that must find it.
        plant: puts it there.
    """

    artifact: str
    part: str
    plant: Plant


def tensors(path: Path, **changes: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change tensors of a file."""
    found = load_file(path)
    save_file(found | {name: how(found[name]).contiguous() for name, how in changes.items()}, path)


def said(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    write_json(path, read_json(path) | changes)


def likes(data: Interactions, ids: np.ndarray, size: int) -> torch.Tensor:
    """By id: likes less dislikes in test, [size, 1]."""
    rows = data.rows("test")
    return torch.from_numpy(
        np.bincount(ids[rows], weights=2.0 * data.label[rows] - 1, minlength=size)[:size, None]
    ).float()


def flipped(layout: Layout, data: Interactions, params: Params) -> None:
    tensors(layout.encoder("lightgcn") / "vectors.safetensors", item=torch.neg)


def items_shifted(layout: Layout, data: Interactions, params: Params) -> None:
    path = layout.encoder("lightgcn") / "vectors.safetensors"
    tensors(path, item=lambda old: old + 1e-3 * old * likes(data, data.item_id, len(old)))


def users_shifted(layout: Layout, data: Interactions, params: Params) -> None:
    path = layout.encoder("lightgcn") / "vectors.safetensors"
    tensors(path, user=lambda old: old + 0.5 * old * likes(data, data.user_id, len(old)))
    cluster_users(layout, params.cluster, params.seed)


def weights_shifted(folder: str) -> Plant:
    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        tensors(layout.encoder("mf") / folder / "model.safetensors", item_bias=lambda old: old + 1e-4)

    return plant


def configured(**changes: Any) -> Plant:
    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        said(layout.encoder("mf") / "config.json", **changes)

    return plant


def another_epoch(layout: Layout, data: Interactions, params: Params) -> None:
    """All files of another epoch than valid's best, as if test had chosen it."""
    folder = layout.encoder("mf")
    config = read_json(folder / "config.json")
    config["best_epoch"] = 1 if config["best_epoch"] > 1 else 2
    found = train_again(data, config, data).tensors
    vectors = {"user": found.pop(USER).contiguous(), "item": found.pop(ITEM).contiguous()}
    save_file(vectors, folder / "vectors.safetensors")
    save_file(found, folder / "model.safetensors")
    write_json(folder / "config.json", config)


def one_user_more(layout: Layout, data: Interactions, params: Params) -> None:
    folder = layout.encoder("mf")
    tensors(folder / "vectors.safetensors", user=lambda old: torch.cat([old, old[1:2]]))
    rows, width = read_json(folder / "config.json")["user_shape"]
    said(folder / "config.json", user_shape=[rows + 1, width])


def graph_counted(split: str) -> Plant:
    """The graph as counted with the likes of this condition as train's."""

    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        with connect(layout.root / "spill", "1GB") as connection:
            run_sql(connection, "contract")
            connection.execute(
                f"CREATE TABLE interactions AS SELECT * REPLACE ({split} AS split) "
                f"FROM read_parquet('{layout.interactions}')"
            )
            connection.execute(f"CREATE TABLE items AS FROM read_parquet('{layout.items}')")
            make_graph(connection)
            connection.execute(
                "COPY (FROM graph ORDER BY item_id, relation, weight DESC, value, other_id) "
                f"TO '{layout.graph}' (FORMAT parquet)"
            )

    return plant


def rows_of(name: str, how: Callable[[list[Row]], None]) -> Plant:
    """Change rows of a table by its property's name."""

    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        change(getattr(layout, name), how)

    return plant


def trees_on_test(layout: Layout, data: Interactions, params: Params) -> None:
    """Grow the first seed's trees on test's labels as well, described as they are without the leak."""
    known = replace(data, split=np.where(data.split == 2, 0, data.split))
    options = Boosting(**params.baselines.choice(params.tuned.get(layout.dataset)).model_dump())
    matrix, _ = features(data, np.arange(len(data)), params.choose_by)
    fit_gbdt(known, matrix, options, 7).save(layout.baselines / "7.safetensors")


def a_leaf_higher(layout: Layout, data: Interactions, params: Params) -> None:
    """Raise one value of the first seed's trees."""
    path = layout.baselines / "7.safetensors"
    fitted = Gbdt.load(path)
    nodes = fitted.trees.nodes.copy()
    nodes["value"][np.flatnonzero(nodes["is_leaf"])[0]] += 0.01
    replace(fitted, trees=replace(fitted.trees, nodes=nodes)).save(path)


def scores(protocol: Protocol, name: str) -> Plant:
    """Mix test's labels into one prediction file."""

    def how(rows: list[Row]) -> None:
        for row in rows[::7]:
            row["score"] += 0.01 * row["label"]

    return lambda layout, data, params: change(layout.predictions / protocol / name, how)


def swapped(rows: list[Row]) -> None:
    """Two raw ids change places."""
    rows[0]["raw_id"], rows[1]["raw_id"] = rows[1]["raw_id"], rows[0]["raw_id"]


def relabelled(key: str, value: Callable[[Row], Any], at: int = -1) -> Callable[[list[Row]], None]:
    """One row's value changed."""
    return lambda rows: rows[at].update({key: value(rows[at])})


def figures(name: str, *keys: str) -> Plant:
    """One figure of a JSON report a little higher."""

    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        report = read_json(getattr(layout, name))
        place = report
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = place[keys[-1]] + 0.01
        write_json(getattr(layout, name), report)

    return plant


def lines(path: Callable[[Layout], Path], how: Callable[[dict[str, Any]], None]) -> Plant:
    """Change the first line of a file of JSON lines."""

    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        first, *rest = path(layout).read_text(encoding="utf-8").splitlines()
        found = json.loads(first)
        how(found)
        text = "\n".join([json.dumps(found, ensure_ascii=False), *rest]) + "\n"
        path(layout).write_text(text, encoding="utf-8")

    return plant


def observed(episode: dict[str, Any]) -> None:
    """The first tool's answer, as if one more had liked it."""
    message = next(message for message in episode["messages"] if message["role"] == "tool")
    message["content"] += " A: liked later."


def told_first(episode: dict[str, Any]) -> None:
    """The first message, with what came later."""
    episode["messages"][0]["content"] += "\nThe user will like A."


def later_item(layout: Layout, data: Interactions, params: Params) -> None:
    """In a case, in place of a drawn item, one that is first met later."""
    rows = pq.read_table(layout.cases).to_pylist()
    first: dict[int, int] = {}
    for item, moment in zip(data.item_id.tolist(), data.timestamp.tolist(), strict=True):
        first[item] = min(moment, first.get(item, moment))
    for number, row in enumerate(rows):
        later = [item for item, moment in first.items() if moment > row["timestamp"]]
        if later:
            _replace(layout, number, later[0])
            return
    # Everything has been met before the first case: another item that was not drawn.
    strange = next(item for item in first if item not in rows[0]["items"])
    _replace(layout, 0, strange)


def _replace(layout: Layout, number: int, item: int) -> None:
    """The candidate after the target becomes this item."""

    def how(rows: list[Row]) -> None:
        items = rows[number]["items"]
        items[(rows[number]["target"] + 1) % len(items)] = item

    change(layout.cases, how)


def in_expert(layout: Layout, data: Interactions, params: Params) -> None:
    """A first layer of an expert that is no longer global's."""
    path = layout.expert(1) / "adapter_model.safetensors"
    key = min(key for key in load_file(path) if ".layers.0." in key and "lora_B" in key)
    tensors(path, **{key: lambda old: old + 0.01})


def json_of(path: Callable[[Layout], Path], **changes: Any) -> Plant:
    return lambda layout, data, params: said(path(layout), **changes)


def in_text(path: Callable[[Layout], Path], old: str, new: str) -> Plant:
    def plant(layout: Layout, data: Interactions, params: Params) -> None:
        text = path(layout).read_text(encoding="utf-8")
        assert old in text
        path(layout).write_text(text.replace(old, new, 1), encoding="utf-8")

    return plant


def curve_higher(layout: Layout, data: Interactions, params: Params) -> None:
    path = layout.curve("cf")
    kept = path.read_text(encoding="utf-8").splitlines()
    at = next(k for k, line in enumerate(kept) if line.startswith("mf,1,valid_auc"))
    kept[at] = "mf,1,valid_auc,0.9"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


MF, LIGHTGCN = "training mf again", "training lightgcn again"
PROTOCOLS: tuple[Protocol, ...] = ("frozen", "rolling")
"""Those that the chain is scored under."""
LEAKS: dict[str, Leak] = {
    "item vectors with the other sign": Leak("vectors", LIGHTGCN, flipped),
    "item vectors shifted by test's labels": Leak("vectors", LIGHTGCN, items_shifted),
    "user vectors shifted by test's likes, groups rebuilt": Leak("vectors", LIGHTGCN, users_shifted),
    "an encoder's mean": Leak("vectors", MF, configured(mean=0.25)),
    "an encoder's best epoch": Leak("vectors", MF, another_epoch),
    "an encoder's valid AUC": Leak("vectors", MF, configured(valid_auc=0.9)),
    "an encoder's seed": Leak("vectors", MF, configured(seed=8)),
    "a user more": Leak("vectors", MF, one_user_more),
    "an encoder's weights": Leak("vectors", MF, weights_shifted(".")),
    "weights of a further seed": Leak("vectors", MF, weights_shifted("seeds/8")),
    "an encoder's curve": Leak("vectors", MF, curve_higher),
    "graph counted on test": Leak("graph", "graph", graph_counted("if(split = 'test', 'train', 'test')")),
    "graph counted on all": Leak("graph", "graph", graph_counted("'train'")),
    "gbdt's trees grown on test": Leak("baselines", "baselines", trees_on_test),
    "gbdt's trees, one leaf": Leak("baselines", "baselines", a_leaf_higher),
    "gbdt's damping": Leak(
        "baselines",
        "baselines",
        json_of(lambda layout: layout.baselines / "config.json", seeds={"seed_7": {"damping": 0.5}}),
    ),
    "the gate's decisions": Leak("gate", "gate", figures("gate", "decisions", "averaged")),
    "the gate's curve": Leak(
        "gate", "gate", in_text(lambda layout: layout.plot("gate"), ",averaged,", ",mixed,")
    ),
    "a user in another group": Leak(
        "groups",
        "groups",
        lambda layout, data, params: change(
            layout.clusters / "groups.parquet", relabelled("group", lambda row: 3 - row["group"])
        ),
    ),
    "means of groups": Leak(
        "groups",
        "groups",
        lambda layout, data, params: tensors(
            layout.clusters / "means.safetensors", means=lambda old: old * 1.01
        ),
    ),
    "sizes of groups": Leak(
        "groups", "groups", json_of(lambda layout: layout.clusters / "clusters.json", cohens_d=9.0)
    ),
    "keywords of test's rationales": Leak(
        "keywords", "keywords", rows_of("keywords", relabelled("keywords", lambda row: ["liked"]))
    ),
    "a rationale accepted": Leak(
        "rationales",
        "rationales",
        rows_of("rationales", relabelled("accepted", lambda row: not row["accepted"], 0)),
    ),
    "a rationale's words": Leak(
        "rationales",
        "rationales",
        rows_of("rationales", relabelled("rationale", lambda row: row["rationale"] + " Later too.", 0)),
    ),
    "a label": Leak(
        "interactions", "tables", rows_of("interactions", relabelled("label", lambda row: 1 - row["label"]))
    ),
    "a position": Leak(
        "interactions", "interactions", rows_of("interactions", relabelled("position", lambda row: 0))
    ),
    "a split": Leak(
        "interactions", "interactions", rows_of("interactions", relabelled("split", lambda row: "train"))
    ),
    "not_cold": Leak(
        "interactions",
        "interactions",
        rows_of("interactions", relabelled("not_cold", lambda row: not row["not_cold"])),
    ),
    "users renumbered": Leak("users", "tables", rows_of("users", swapped)),
    "items renumbered": Leak("items", "tables", rows_of("items", swapped)),
    "an item's description": Leak(
        "items", "tables", rows_of("items", relabelled("description", lambda row: "liked"))
    ),
    "true probabilities": Leak(
        "truth", "tables", rows_of("truth", relabelled("probability", lambda row: 0.5))
    ),
    "a true probability of no row": Leak(
        "truth", "tables", rows_of("truth", relabelled("position", lambda row: 999))
    ),
    "quarantine": Leak(
        "quarantine",
        "tables",
        rows_of("quarantine", lambda rows: rows.append({"file": "x", "line": 1, "reason": "y", "text": "z"})),
    ),
    **{
        f"{protocol} predictions of {what}": Leak("predictions", part, scores(protocol, name))
        for protocol in PROTOCOLS
        for what, part, name in (
            ("an encoder", "predictions", "mf.parquet"),
            ("a further seed", "predictions", "seeds/mf-8.parquet"),
            ("gbdt", "predictions", "gbdt.parquet"),
            ("the language model", "predictions", "global.parquet"),
            ("a floor", "figures", "item_mean.parquet"),
        )
    },
    "predictions of rolling's own floor": Leak(
        "predictions", "figures", scores("rolling", "minus_running_mean.parquet")
    ),
    "users' results": Leak(
        "predictions",
        "figures",
        lambda layout, data, params: change(
            layout.user_results("rolling", "mf"), relabelled("positives", lambda row: row["positives"] + 1)
        ),
    ),
    "slices": Leak("metrics", "figures", figures("slices", "rolling", "mf", "test/tail", "auc")),
    "metrics": Leak("metrics", "figures", figures("metrics", "frozen", "mf", "test", "auc")),
    "differences": Leak(
        "metrics", "figures", figures("differences", "rolling", "slices", "test", "mf", "auc", "difference")
    ),
    "a plot": Leak(
        "metrics", "figures", in_text(lambda layout: layout.plot("roc"), "mf,0.0,0.0", "mf,0.0,0.1")
    ),
    "a reason's reference": Leak(
        "reasons",
        "figures",
        lines(lambda layout: layout.reasons, lambda line: line.update(rationale="Yes. x")),
    ),
    "a reason's label": Leak(
        "reasons",
        "figures",
        lines(lambda layout: layout.reasons, lambda line: line.update(label=1 - line["label"])),
    ),
    "another backbone": Leak(
        "backbone", "backbone", json_of(lambda layout: layout.backbone / "backbone.json", revision="x")
    ),
    "global's layout": Leak(
        "global", "global", json_of(lambda layout: layout.global_adapter / "backbone.json", layout="x")
    ),
    "global's backbone": Leak(
        "global", "global", json_of(lambda layout: layout.global_adapter / "backbone.json", identity="0-0")
    ),
    "an expert's first layers": Leak("experts", "global", in_expert),
    "the projector's mean": Leak(
        "projector",
        "projector",
        lambda layout, data, params: tensors(
            layout.projector / "projector.safetensors", mean=lambda old: old + 0.1
        ),
    ),
    "a case's items": Leak("cases", "cases", later_item),
    "a case's order": Leak(
        "cases",
        "cases",
        rows_of(
            "cases", lambda rows: rows[0].update(items=rows[0]["items"][::-1], target=9 - rows[0]["target"])
        ),
    ),
    "an observation": Leak(
        "trajectories", "trajectories", lines(lambda layout: layout.trajectories, observed)
    ),
    "a first message": Leak(
        "trajectories", "trajectories", lines(lambda layout: layout.trajectories, told_first)
    ),
    "another agent's backbone": Leak(
        "agent-backbone",
        "agent-backbone",
        json_of(lambda layout: layout.agent_backbone / "backbone.json", revision="x"),
    ),
    "sft's backbone": Leak(
        "agent-sft", "agent-sft", json_of(lambda layout: layout.agent_sft / "backbone.json", identity="0-0")
    ),
    "grpo's backbone": Leak(
        "agent-grpo", "agent-sft", json_of(lambda layout: layout.agent_grpo / "backbone.json", identity="0-0")
    ),
    "a test episode": Leak(
        "ranking", "ranking", lines(lambda layout: layout.episodes("frozen", "scripted"), observed)
    ),
    "ranks": Leak(
        "ranking",
        "ranking",
        rows_of("agent_ranks", lambda rows: rows[0].update(rank=1 + rows[0]["rank"] % 10, worst_rank=10)),
    ),
    "the agent's figures": Leak(
        "ranking", "ranking", figures("agent_metrics", "frozen", "all", "mf", "ndcg@10")
    ),
}
