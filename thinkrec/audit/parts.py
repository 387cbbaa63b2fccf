"""Every check, artifact by artifact, as far as they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from thinkrec.audit.adapters import check_adapters, check_agents, check_backbone, check_projector
from thinkrec.audit.agent import check_cases, check_ranking, check_trajectories
from thinkrec.audit.check import Check, skipped
from thinkrec.audit.groups import check_groups
from thinkrec.audit.keywords import check_keywords
from thinkrec.audit.prompts import check_prompts
from thinkrec.audit.rationales import Options, check_rationales
from thinkrec.audit.reports import check_reasons, check_reports
from thinkrec.audit.scores import Scorer, check_predictions, check_scores, compare_modes
from thinkrec.audit.tables import check_graph, check_raw, check_tables
from thinkrec.audit.trees import check_features, check_yardsticks
from thinkrec.audit.vectors import check_vectors, encoders
from thinkrec.cf.folder import score
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout, require
from thinkrec.llm.systems import SYSTEMS
from thinkrec.reports.kinds import kind
from thinkrec.reports.predictions import scored_systems
from thinkrec.stages.evaluate import GBDT, gbdt_columns

PAST = "keep to the past"
Step = Callable[[str], None]
Part = tuple[tuple[str, ...], Callable[[], list[Check]]]


def check_parts(layout: Layout, params: Params, data: Interactions, step: Step) -> Iterator[Check]:
    """Checks of what the stages made, as far as they have."""
    names = encoders(layout)
    for name in names:
        step(f"training {name} again")
        yield from check_vectors(layout, data, name, params.seed)
    if not names:
        yield skipped("vectors", PAST, f"`thinkrec cf --dataset {layout.dataset}` makes them")
    for name, (needed, check) in _parts(layout, params, data).items():
        try:
            require(layout, *needed)
        except MissingInputError as error:
            yield skipped(name, PAST, str(error))
        else:
            step(name)
            yield from check()


def _parts(layout: Layout, params: Params, data: Interactions) -> dict[str, Part]:
    """What each check needs, by name."""
    prompt, seed = params.prompt, params.seed
    options = Options(params.synthesize, prompt, seed)
    source = params.datasets.get(layout.dataset)
    parts: dict[str, Part] = {
        "tables": (
            ("interactions",),
            lambda: [*check_tables(layout, data), *check_raw(layout, source, params.prep)],
        ),
        "graph": (("items", "graph"), lambda: [check_graph(layout)]),
        "groups": (("clusters",), lambda: check_groups(layout, data, seed)),
        "keywords": (("items", "keywords"), lambda: check_keywords(layout, params.summarize)),
        "rationales": (("items", "keywords", "rationales"), lambda: check_rationales(layout, data, options)),
        "yardsticks": (("yardsticks",), lambda: [check_yardsticks(layout, data, params)]),
        "prompts": (("items", "keywords", "backbone"), lambda: check_prompts(layout, data, prompt, seed)),
        "backbone": (("items", "keywords", "backbone"), lambda: check_backbone(layout, params)),
        "global": (("backbone", "global_adapter"), lambda: check_adapters(layout, params)),
        "projector": (("projector",), lambda: [check_projector(layout, params)]),
    }
    return parts | _agent_parts(layout, params, data)


def _agent_parts(layout: Layout, params: Params, data: Interactions) -> dict[str, Part]:
    """The agent's, whose stages not every data set goes through."""
    tools = ("items", "keywords", "graph", "cases", "agent_backbone")
    parts: dict[str, Part] = {
        "cases": (("items", "cases"), lambda: check_cases(layout, data, params)),
        "trajectories": (
            (*tools, "trajectories"), lambda: check_trajectories(layout, data, params),
        ),
        "agent-backbone": (("agent_backbone",), lambda: check_backbone(layout, params, agent=True)),
        "agent-sft": (("agent_backbone", "agent_sft"), lambda: check_agents(layout, params)),
    }  # fmt: skip
    if layout.agent_metrics.exists() and layout.agent_ranks.exists():
        parts["ranking"] = (tools, lambda: check_ranking(layout, data, params))
    there = layout.agent_backbone.exists() or layout.cases.exists()
    return parts if there else {}


def check_systems(
    layout: Layout, params: Params, data: Interactions, scored: Mapping[str, Scorer], step: Step
) -> tuple[list[Check], dict[str, Any], str | None]:
    """Check scores, predictions and figures.

    Returns:
        Checks; by system, see `compare_modes`; and why there is nothing of it for some.
    """
    checks: list[Check] = []
    history: dict[str, Any] = {}
    without: str | None = None
    for name, scorer in scored.items():
        step(f"scores of {name}")
        if name == GBDT:
            checks.append(check_features(data, params.prompt.history, params.seed))
        checks.append(check_scores(layout, data, name, scorer, params.prompt.history, params.seed))
        try:
            history[name] = compare_modes(data, scorer, params.evaluate.bootstrap_draws, params.seed)
        except ConfigError as error:
            without = str(error)
    step("predictions and figures")
    checks += _predictions(layout, params, data, scored)
    checks += check_reports(layout, data, params)
    if layout.reasons.exists() and layout.rationales.exists():
        checks.append(check_reasons(layout, data, params))
    return checks, history, without


def _predictions(
    layout: Layout, params: Params, data: Interactions, scored: Mapping[str, Scorer]
) -> Iterator[Check]:
    """Every system's predictions against the system itself; floors and ceilings: see `check_reports`."""
    mode, rows = params.prompt.history, np.flatnonzero(data.split > 0)
    check = partial(check_predictions, layout, data)
    for name in (each for each in scored_systems(layout) if kind(each) == "system"):
        if name == GBDT and layout.yardsticks.exists():
            for number, scores in gbdt_columns(layout, data, rows, mode).items():
                yield check(name, scores, None if number == params.seed else number)
        elif layout.encoder(name).exists():
            yield check(name, score(layout.encoder(name), data, rows, mode))
            for folder in sorted(layout.encoder(name).glob("seeds/*")):
                yield check(name, score(folder, data, rows, mode), int(folder.name))
        elif name in scored and name in SYSTEMS:
            yield check(name, scored[name](data, rows, mode))
        else:
            why = (
                f"`thinkrec audit --systems {name}` scores them again"
                if name in SYSTEMS
                else "its system is not there"
            )
            yield skipped("predictions", f"{name}: every row is what the system says", why)
