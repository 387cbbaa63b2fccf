"""The agent's report: everybody's ranking of the same candidates, as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from thinkrec.files import whole
from thinkrec.layout import Layout
from thinkrec.reports.figures import curve_figure, interval_figure
from thinkrec.reports.grids import markdown
from thinkrec.reports.plots import read_rows
from thinkrec.reports.tables import Grid

MEANING = {
    "popularity": "people who met the item before the moment",
    "recent_popularity": "those of the days that count as of late",
    "item_mean": "share of likes before the moment, drawn towards the mean",
    "mf": "matrix factorisation", "sasrec": "SASRec, at the moment",
    "thinkrec": "ThinkRec's own score of each candidate",
    "no_tools": "the agent's backbone, shown the first message only",
    "fixed_tools": "the backbone, handed every tool's answer in a fixed order",
    "untrained": "the backbone with the tools", "sft": "after agent-sft", "grpo": "after agent-grpo",
    "scripted": "the embedded investigator",
}  # fmt: skip
METRICS = ("ndcg@1", "ndcg@5", "ndcg@10", "mrr")
COSTS = ("valid", "calls", "failed_calls", "tokens_read", "tokens_said", "seconds")


def ranking_grid(metrics: Mapping[str, Any]) -> Grid:
    """Every system's measures with intervals, and how far the trained agent is ahead of it."""
    ahead = next((key for entry in metrics.values() for key in entry if key.endswith("_ahead_by")), None)
    rows = []
    for name, entry in metrics.items():
        cells = [_interval(entry[each], entry[f"{each}_interval"]) for each in METRICS]
        gap = entry.get(ahead or "")
        own = gap is None or f"{name}_ahead_by" == ahead
        rows.append([name, *cells, "-" if own else _interval(gap["ndcg@10"], gap["interval"])])
    title = f"{ahead.removesuffix('_ahead_by')} ahead by" if ahead else "ahead by"
    return ["system", *METRICS, title], rows


def cost_grid(metrics: Mapping[str, Any]) -> Grid:
    """What the agents' episodes are like: valid answers, calls by tool, tokens and seconds."""
    agents = {name: entry for name, entry in metrics.items() if "valid" in entry}
    tools = sorted({tool for entry in agents.values() for tool in entry["calls_by_tool"]})
    rows = [
        [name, *(f"{entry[each]:g}" for each in COSTS),
         *(f"{entry['calls_by_tool'].get(tool, 0):g}" for tool in tools)]
        for name, entry in agents.items()
    ]  # fmt: skip
    return ["agent", *(each.replace("_", " ") for each in COSTS), *tools], rows


def _interval(value: float, bounds: list[float]) -> str:
    return f"{value:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _about(facts: Mapping[str, Any]) -> str:
    drawn = facts["candidates"] - 1
    return (
        f"{facts['cases']} test cases of {facts['dataset']}, one a user (subset: {facts['subset']}): the "
        f"user's last like among {drawn} drawn items. [low, high]: 95 % interval by bootstrap over users; "
        f"differences are paired. Seed {facts['seed']}; agent's backbone {facts['backbone']}, temperature "
        f"{facts['temperature']:g}. Calls, tokens and seconds are means of an episode; seconds are a batch's "
        f"over its episodes. A random order has NDCG@10 {_chance(facts['candidates']):.3f}; the best is 1."
    )


def _chance(candidates: int) -> float:
    from thinkrec.agent.rewards import ndcg

    return sum(ndcg(rank) for rank in range(1, candidates + 1)) / candidates


def write_agent_page(layout: Layout, metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write agent.html and agent.md.

    Args:
        layout: where files lie; training curves are read, where there are any.
        metrics: of agent.json.
        facts: dataset, cases, candidates, subset, seed, backbone, temperature.
    """
    grids = [ranking_grid(metrics), cost_grid(metrics)]
    meaning = {name: text for name, text in MEANING.items() if name in metrics}
    lines = [f"# The agent on {facts['dataset']}", _about(facts), *map(markdown, grids)]
    lines.append("\n".join(f"- {name}: {text}" for name, text in meaning.items()))
    with whole(layout.agent_text) as beside:
        beside.write_text("\n\n".join(line.rstrip("\n") for line in lines) + "\n", encoding="utf-8")
    curves = [layout.curve(stage) for stage in ("agent-sft", "agent-grpo")]
    drawn = [("NDCG@10 with 95 % intervals.", interval_figure(metrics, "ndcg@10"))]
    drawn += [
        (f"Training of the stage {path.stem}.", curve_figure(read_rows(path)))
        for path in curves
        if path.exists()
    ]
    environment = Environment(
        loader=PackageLoader("thinkrec.reports", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("agent.html.j2").render(
        dataset=facts["dataset"], about=_about(facts), grids=grids, meaning=meaning,
        figures=[(caption, Markup(svg)) for caption, svg in drawn if svg is not None],
    )  # fmt: skip
    with whole(layout.agent_page) as beside:
        beside.write_text(page, encoding="utf-8")
