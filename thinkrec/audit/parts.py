"""All checks of the existing artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import numpy as np

from thinkrec.audit.adapters import (
    check_adapters,
    check_agents,
    check_backbone,
    check_projectors,
    variants_there,
)
from thinkrec.audit.agent import check_cases, check_ranking, check_trajectories
from thinkrec.audit.check import Check, judged, skipped
from thinkrec.audit.groups import check_gate, check_groups
from thinkrec.audit.histories import check_histories
from thinkrec.audit.interactions import check_interactions
from thinkrec.audit.keywords import check_keywords
from thinkrec.audit.prompts import check_prompts
from thinkrec.audit.rationales import Options, check_rationales
from thinkrec.audit.receptions import check_receptions
from thinkrec.audit.reports import check_reasons, check_reports
from thinkrec.audit.scores import check_predictions, check_scores
from thinkrec.audit.shuffled import check_stored
from thinkrec.audit.systems import scorer
from thinkrec.audit.tables import check_graph, check_raw, check_tables
from thinkrec.audit.trees import check_baselines, check_features
from thinkrec.audit.vectors import check_vectors, encoders
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout, require
from thinkrec.protocols import Protocol
from thinkrec.reports.kinds import kind
from thinkrec.reports.predictions import scored_systems
from thinkrec.systems.candidates import Candidates
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS, System

PAST = "keep to the past"
Step = Callable[[str], None]
Part = tuple[tuple[str, ...], Callable[[], list[Check]]]


def check_parts(parts: Mapping[str, Part], layout: Layout, step: Step) -> Iterator[Check]:
    """Run the checks whose artifacts exist."""
    for name, (needed, check) in parts.items():
        try:
            require(layout, *needed)
        except MissingInputError as error:
            yield skipped(name, PAST, str(error))
        else:
            step(name)
            yield from _told(name, check)


def _told(artifact: str, check: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Run a check; it fails where the splits have no histories of a protocol that it needs."""
    try:
        yield from check()
    except ConfigError as error:
        yield judged(artifact, PAST, [str(error)], "")


def parts(layout: Layout, params: Params, data: Interactions, rule: str) -> dict[str, Part]:
    """List all checks except those of scores, by step, with the artifacts that each needs.

    Args:
        layout: paths of the artifacts.
        params: their parameters.
        data: the interactions.
        rule: their `split.rule`.
    """
    checks: dict[str, Part] = {
        "interactions": ((), lambda: check_interactions(data, rule)),
        "histories": ((), lambda: check_histories(data, params.prompt, rule)),
    }
    names = encoders(layout)
    for name in names:
        check = partial(check_vectors, layout, data, name, params.seed)
        checks[f"training {name} again"] = ((), check)
    if not names:
        why = f"`thinkrec cf --dataset {layout.dataset}` makes them"
        checks["vectors"] = ((), lambda: [skipped("vectors", PAST, why)])
    return checks | _parts(layout, params, data) | _agent_parts(layout, params, data)


def _parts(layout: Layout, params: Params, data: Interactions) -> dict[str, Part]:
    prompt, seed = params.prompt, params.seed
    options = Options(params.synthesize, prompt, params.evaluate.headline, seed)
    source = params.datasets.get(layout.dataset)
    variants = [place.variant for place in variants_there(layout)] or [layout.variant]
    trained, prompts = variants[0], {name: params.of_variant(name).prompt for name in variants}
    return {
        "tables": (
            ("interactions",),
            lambda: [*check_tables(layout, data), *check_raw(layout, source, params.prep)],
        ),
        "graph": (("items", "graph"), lambda: [check_graph(layout)]),
        "groups": (("clusters",), lambda: check_groups(layout, data, seed)),
        "gate": (
            ("gate", "clusters", f"encoders/{params.cluster.encoder}"),
            lambda: [check_gate(layout, data, params)],
        ),
        "keywords": (("items", "keywords"), lambda: check_keywords(layout, params.summarize)),
        "rationales": (("items", "keywords", "rationales"), lambda: check_rationales(layout, data, options)),
        "baselines": (("baselines",), lambda: [check_baselines(layout, data, params)]),
        "prompts": (
            ("items", "keywords", "backbone"),
            lambda: [
                *check_prompts(layout, data, prompts, params.evaluate.protocols, seed),
                *check_receptions(layout, data, prompts, params.evaluate.headline, seed),
            ],
        ),
        "backbone": (("backbone",), lambda: check_backbone(layout, params)),
        "global": (("backbone", f"global_adapter@{trained}"), lambda: check_adapters(layout, params)),
        "projector": ((f"projector@{trained}",), lambda: check_projectors(layout, params)),
    }


def _agent_parts(layout: Layout, params: Params, data: Interactions) -> dict[str, Part]:
    """List the agent's checks; none for a data set without its stages."""
    tools = ("items", "keywords", "graph", "cases", "agent_backbone")
    checks: dict[str, Part] = {
        "cases": (("items", "cases"), lambda: check_cases(layout, data, params)),
        "trajectories": (
            (*tools, "trajectories"), lambda: check_trajectories(layout, data, params),
        ),
        "agent-backbone": (("agent_backbone",), lambda: check_backbone(layout, params, agent=True)),
        "agent-sft": (("agent_backbone", "agent_sft"), lambda: check_agents(layout, params)),
    }  # fmt: skip
    if layout.agent_metrics.exists() and layout.agent_ranks.exists():
        checks["ranking"] = (tools, lambda: check_ranking(layout, data, params))
    has_agent = layout.agent_backbone.exists() or layout.cases.exists()
    return checks if has_agent else {}


def check_systems(project: Project, systems: Mapping[str, System], step: Step) -> list[Check]:
    """Check scores, predictions and metrics, under each protocol that evaluate scores."""
    layout, params, data = project.layout, project.params, project.data
    checks: list[Check] = []
    for name, system in systems.items():
        step(f"scores of {name}")
        for protocol in params.evaluate.protocols:
            checks += _told("scores", partial(_of_the_past, project, name, system, protocol))
    step("predictions")
    for protocol in params.evaluate.protocols:
        checks += _told("predictions", partial(check_all_predictions, project, systems, protocol))
    step("figures")
    checks += _told("reasons", partial(check_figures, layout, params, data))
    if layout.metrics.exists():
        step("controls")
        checks += _told("metrics", lambda: [check_stored(project, systems)])
    return checks


def _of_the_past(project: Project, name: str, system: System, protocol: Protocol) -> Iterator[Check]:
    layout, data, seed = project.layout, project.data, project.params.seed
    if SYSTEMS[name].kind == "trees":
        yield check_features(data, protocol, seed)
    yield check_scores(layout, data, name, scorer(system), protocol, seed)


def check_figures(layout: Layout, params: Params, data: Interactions) -> list[Check]:
    """Check metrics of predictions and reasons."""
    checks = check_reports(layout, data, params)
    if layout.reasons.exists() and layout.rationales.exists():
        checks.append(check_reasons(layout, data, params))
    return checks


def check_all_predictions(
    project: Project, systems: Mapping[str, System], protocol: Protocol
) -> Iterator[Check]:
    """Check predictions against the systems; `check_reports` checks floors and ceilings."""
    layout, data = project.layout, project.data
    candidates = Candidates.of_rows(data, np.flatnonzero(data.split > 0), protocol)
    for name in (each for each in scored_systems(layout, protocol) if kind(each) == "system"):
        if name not in systems:
            language = name in SYSTEMS and SYSTEMS[name].kind == "language model"
            again = f"`thinkrec audit --systems {name}` scores them again"
            why = again if language else "its system is not there"
            yield skipped("predictions", f"{name}: every row is what the system says ({protocol})", why)
            continue
        yield check_predictions(layout, data, name, protocol, systems[name].score(candidates))
        for number, other in systems[name].seeds().items():
            yield check_predictions(layout, data, name, protocol, other.score(candidates), number)
