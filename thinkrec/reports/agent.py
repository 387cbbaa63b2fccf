"""The agent's report, as HTML and Markdown: how all systems rank the same candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from thinkrec.files import whole
from thinkrec.layout import Layout
from thinkrec.prompts.templates import template
from thinkrec.reports.figures import curve_figure, interval_figure
from thinkrec.reports.grids import markdown
from thinkrec.reports.plots import readable
from thinkrec.reports.tables import Grid
from thinkrec.runs import read_curve

MEANING = {
    "popularity": "users who interacted with the item before the case's time",
    "recent_popularity": "the same within the recent days",
    "item_mean": "share of likes before the case's time, smoothed towards the mean",
    "mf": "matrix factorisation", "sasrec": "SASRec",
    "thinkrec": "ThinkRec's own score of each candidate",
    "no_tools": "the agent's backbone, given the first message only",
    "fixed_tools": "the backbone, given every tool's answer in a fixed order",
    "untrained": "the backbone with the tools", "sft": "after agent-sft", "grpo": "after agent-grpo",
    "scripted": "the embedded investigator",
    "sft sampled": "after agent-sft, sampled", "grpo sampled": "after agent-grpo, sampled",
}  # fmt: skip
METRICS = ("ndcg@1", "ndcg@5", "ndcg@10", "mrr")
COSTS = ("valid", "forced", "completed", "calls", "failed_calls", "tokens_read", "tokens_said", "seconds")


def ranking_grid(metrics: Mapping[str, Any]) -> Grid:
    """Tabulate all systems' metrics with intervals, and the trained agent's lead over each."""
    ahead = next((key for entry in metrics.values() for key in entry if key.endswith("_ahead_by")), None)
    rows = []
    for name, entry in metrics.items():
        cells = [_interval(entry[each], entry[f"{each}_interval"]) for each in METRICS]
        lead = entry.get(ahead or "")
        no_lead = lead is None or f"{name}_ahead_by" == ahead
        rows.append([name, *cells, "-" if no_lead else _interval(lead["ndcg@10"], lead["interval"])])
    title = f"{ahead.removesuffix('_ahead_by')} ahead by" if ahead else "ahead by"
    return ["system", *METRICS, title], rows


def cost_grid(metrics: Mapping[str, Any]) -> Grid:
    """Tabulate the agents' episodes: valid answers, calls by tool, tokens and seconds."""
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


def _description(facts: Mapping[str, Any]) -> str:
    negatives = facts["candidates"] - 1
    return (
        f"Test cases of {facts['dataset']}, one per user: the last like among {negatives} sampled items; "
        "all: sampled at random; dense, sparse: of the users with most and with fewest earlier interactions. "
        "[low, high]: 95 % interval by bootstrap over users; differences are paired. A random order has "
        f"NDCG@10 {_chance(facts['candidates']):.3f}; the best is 1. Seed {facts['seed']}; agent's backbone "
        f"{facts['backbone']}, with greedy decoding, or, if sampled, at temperature {facts['sampled']:g}. "
        "Frozen: every case is ranked at the moment when the user's test rows begin; rolling: at its own. "
        "Completed: candidates missing in an answer; like calls, tokens and seconds, means per episode; "
        f"seconds are a batch's divided by its episodes. In {facts['same_moment']} cases the user has "
        "another interaction with the same timestamp, which under rolling SASRec and ThinkRec may see and "
        "the tools do not."
    )


def _order_range(metrics: Mapping[str, Any]) -> str:
    """State the range of NDCG@10 over orders of the candidates."""
    trained = next((name for name in metrics if f"{name} order 1" in metrics), None)
    if trained is None:
        return ""
    values = [e["ndcg@10"] for name, e in metrics.items() if name.split(" order ")[0] == trained]
    low, high = min(values), max(values)
    return f"NDCG@10 of {trained} over {len(values)} orders of the candidates: {low:.3f} to {high:.3f}."


def _chance(candidates: int) -> float:
    from thinkrec.agent.rewards import ndcg

    return sum(ndcg(rank) for rank in range(1, candidates + 1)) / candidates


def write_agent_page(layout: Layout, metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write agent.html and agent.md.

    Args:
        layout: paths; existing training curves are read.
        metrics: content of agent.json.
        facts: dataset, candidates, seed, backbone, sampled, same_moment.
    """
    headline = next(iter(metrics))
    all_metrics = metrics[headline]["all"]
    tables = {
        f"{protocol}, {name}: {next(iter(entries.values()))['cases']} cases": ranking_grid(entries)
        for protocol, subsets in metrics.items()
        for name, entries in subsets.items()
    }
    tables[f"What an episode costs ({headline}, all)"] = cost_grid(all_metrics)
    meaning = {name: text for name, text in MEANING.items() if name in all_metrics}
    description, orders = _description(facts), _order_range(all_metrics)
    lines = [f"# The agent on {facts['dataset']}", description, orders]
    lines += [part for title, grid in tables.items() for part in (f"## {title}", markdown(grid))]
    lines.append("\n".join(f"- {name}: {text}" for name, text in meaning.items()))
    with whole(layout.agent_text) as beside:
        beside.write_text("\n\n".join(line.rstrip("\n") for line in lines if line) + "\n", encoding="utf-8")
    damaged: list[str] = []
    curves = {name: readable(damaged, read_curve, layout, name) for name in ("agent-sft", "agent-grpo")}
    figures = [(f"NDCG@10 with 95 % intervals, {headline}.", interval_figure(all_metrics, "ndcg@10"))]
    figures += [
        (f"Training of the stage {name}.", curve_figure(rows)) for name, rows in curves.items() if rows
    ]
    page = template("reports/agent.html.j2").render(
        dataset=facts["dataset"], about=description, orders=orders, tables=tables, meaning=meaning,
        damaged=damaged, figures=[(caption, Markup(svg)) for caption, svg in figures if svg is not None],
    )  # fmt: skip
    with whole(layout.agent_page) as beside:
        beside.write_text(page, encoding="utf-8")
