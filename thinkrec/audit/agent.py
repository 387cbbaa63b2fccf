"""The agent's cases drawn again, its episodes replayed, its metrics computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thinkrec.agent.cases import Case, chosen_cases, draw_cases, first_interactions, last_likes, load_cases
from thinkrec.agent.comparison import compared, counted_names, runs_of, scored_ranks, scoring_names
from thinkrec.agent.dialogue import no_ranking, read_ranking
from thinkrec.agent.environment import OVER, answer_call, error_text
from thinkrec.agent.filter import why_dropped
from thinkrec.agent.knowledge import Knowledge
from thinkrec.agent.load import load_knowledge, setting_of
from thinkrec.agent.rewards import episode_rewards
from thinkrec.agent.rollout import BROKEN, Setting, Trajectory, read_trajectories
from thinkrec.audit.check import Check, fault, judged
from thinkrec.audit.same import differing, first_few
from thinkrec.audit.spoil import spoiled
from thinkrec.config.agent import Subset
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.backbone import load_tokenizer
from thinkrec.prompts.guard import Guard
from thinkrec.protocols import Protocol
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS

_CASES = "run `thinkrec trajectories` again, if params.yaml has changed since"
_EVALUATE = "run `thinkrec evaluate-agent` again"
_BLIND_EPISODES = 3
"""Episodes per system that are replayed with everything from their moment on spoiled."""
SPLITS: tuple[Split, ...] = ("valid", "test")


def check_cases(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Draw the cases again, and check that every candidate had an earlier interaction."""
    items = len(Items.load(layout.items).title) - 1
    valid = data.rows("valid")
    rows = {"valid": valid[data.label[valid] == 1], "test": last_likes(data)}
    first_seen, options, checks = first_interactions(data, items), params.agent, []
    for split in SPLITS:
        ours = load_cases(layout.cases, data, split)
        drawn = draw_cases(data, items, rows[split], split, options.candidates, params.seed).cases
        limit, users = (
            (params.trajectories.max_cases, 0)
            if split == "valid"
            else (options.test_cases, options.subset_users)
        )
        expected = chosen_cases(drawn, data, limit, users, params.seed)
        wrong = [one for one, other in zip(ours, expected, strict=False) if one != other]
        faults = fault(len(wrong), "cases are others than are drawn", _name_case(wrong))
        faults += (
            [] if len(ours) == len(expected) else [f"there are {len(ours)} cases, {len(expected)} are drawn"]
        )
        begins = data.moments("frozen")
        late = [case for case in ours if any(first_seen[item] >= begins[case.row] for item in case.items)]
        faults += fault(len(late), "cases show an item without an earlier interaction", _name_case(late))
        summary = f"{len(ours):,} cases of {split}, drawn again: the same, of items with earlier interactions"
        checks.append(
            judged("cases", f"{split}: drawn before the moment", faults and [*faults, _CASES], summary)
        )
    return checks


def _name_case(cases: Sequence[Case]) -> str:
    return f"user {cases[0].user}, number {cases[0].number}" if cases else ""


def _guard(layout: Layout) -> Guard:
    return Guard(load_tokenizer(layout.agent_backbone))


def check_trajectories(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Replay the kept episodes: tool answers must follow from what precedes each case's moment."""
    episodes = list(read_trajectories(layout.trajectories))
    cases = {case.number: case for case in load_cases(layout.cases, data, "valid")}
    knowledge = load_knowledge(layout, data, params.agent, _guard(layout))
    setting = setting_of(knowledge, params.agent, list(cases.values()))
    faults = _faults(episodes, cases, setting, any_order=True)
    dropped = [each for each in episodes if why_dropped(each, params.trajectories)]
    faults += fault(len(dropped), "episodes are kept that the rules drop", _name_episode(dropped))
    faults += _blind_faults(layout, data, params, episodes, cases)
    summary = f"{len(episodes):,} episodes replayed: the same first message, answers, ranking and rewards"
    return [judged("trajectories", "of what precedes the moment", faults and [*faults, _CASES], summary)]


def _name_episode(episodes: Sequence[Trajectory]) -> str:
    return f"{episodes[0].model}, case {episodes[0].number}" if episodes else ""


def _faults(
    episodes: Sequence[Trajectory], cases: dict[int, Case], setting: Setting, any_order: bool = False
) -> list[str]:
    """Find episodes of no case, and those that replay differently."""
    unmatched, different, ranking = [], [], []
    for episode in episodes:
        case = cases.get(episode.number)
        if case is None or not _fits(episode, case, any_order):
            unmatched.append(episode)
            continue
        own = replace(case, items=episode.items, target=episode.target)
        if not _same_answers(episode, own, setting):
            different.append(episode)
        elif not _same_end(episode, own, setting):
            ranking.append(episode)
    faults = fault(len(unmatched), "episodes are of no case", _name_episode(unmatched))
    faults += fault(
        len(different), "episodes hold what tools don't answer at that moment", _name_episode(different)
    )
    return faults + fault(len(ranking), "episodes end in another ranking or reward", _name_episode(ranking))


def _fits(each: Trajectory, case: Case, any_order: bool) -> bool:
    same_case = (each.user, each.moment, each.split) == (case.user, case.moment, case.split)
    same_items = sorted(each.items) == sorted(case.items) if any_order else each.items == case.items
    return same_case and same_items and each.items[each.target] == case.items[case.target]


def _same_answers(each: Trajectory, case: Case, setting: Setting) -> bool:
    """Test whether replaying gives the same first message and tool answers."""
    dialogue = setting.open(case, each.seed)
    if each.messages[:1] != dialogue.messages:
        return False
    answers: list[str] = []
    for message in each.messages[1:]:
        if message["role"] == "assistant":
            if answers:
                return False
            for call in message.get("tool_calls") or []:
                calls, function = len(dialogue.episode.log), call["function"]
                answer = answer_call(
                    dialogue.tools, dialogue.episode, function.get("name"), function.get("arguments") or {}
                )
                assert len(dialogue.episode.log) > calls
                answers.append(answer)
        elif (message["content"] == error_text(OVER) and answers) or message["content"] == BROKEN:
            del answers[:1]
        elif not answers or message["content"] != answers.pop(0):
            return False
    return not answers


def _same_end(each: Trajectory, case: Case, setting: Setting) -> bool:
    last = str(each.messages[-1].get("content") or "")
    ranking = read_ranking(last, case.letters) or no_ranking(case.letters)
    messages = [] if each.forced else each.messages
    rewards = episode_rewards(messages, case.letters, case.target, setting.options.max_calls)
    valid = ranking.valid and not each.forced
    return (each.order, each.valid, each.rewards) == (ranking.order, valid, rewards)


def _blind_faults(
    layout: Layout,
    data: Interactions,
    params: Params,
    episodes: Sequence[Trajectory],
    cases: dict[int, Case],
    tools: tuple[str, ...] | None = None,
    lists: tuple[str, ...] = (),
) -> list[str]:
    """Replay a few episodes with everything from their moment on spoiled; none may change."""
    matched = [each for each in episodes if each.number in cases]
    indices = {len(matched) * k // _BLIND_EPISODES for k in range(_BLIND_EPISODES)} if matched else set()
    wrong = []
    guard = _guard(layout)
    for each in (matched[k] for k in indices):
        blind = spoiled(data, data.timestamp >= each.moment)
        setting = setting_of(
            load_knowledge(layout, blind, params.agent, guard), params.agent, [], tools, lists
        )
        case = replace(cases[each.number], items=each.items, target=each.target)
        wrong += [] if _same_answers(each, case, setting) else [each]
    return fault(len(wrong), "episodes change with what follows their moment", _name_episode(wrong))


def check_ranking(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Check test episodes, ranks and agent.json against each other and against systems scored again."""
    stored = load_cases(layout.cases, data, "test")
    knowledge = load_knowledge(layout, data, params.agent, _guard(layout))
    table = pq.read_table(layout.agent_ranks)
    members = {name: np.array([name in case.subsets for case in stored]) for name in get_args(Subset)}
    own, metrics, checks, count = params.evaluate_agent, {}, [], 0
    for protocol in params.evaluate.protocols:
        cases = [case.under(protocol, data) for case in stored]
        known = knowledge.under(protocol, "test")
        by_system, found = _episodes(layout, params, known, cases, protocol)
        ranks = _ranks(table.filter(pc.field("protocol") == protocol).to_pydict(), cases)
        checks += [*found, _ranked(layout, data, params, known, cases, protocol, (ranks, by_system))]
        metrics[protocol] = {
            subset: compared(ranks, by_system, inside, own, params.seed) for subset, inside in members.items()
        }
        count += len(ranks)
    wrong = differing(read_json(layout.agent_metrics), metrics)
    faults = [f"agent.json disagrees about {first_few(wrong)}", _EVALUATE] if wrong else []
    summary = f"{count} rankings measured again: the same figures"
    return [*checks, judged("ranking", "agent.json: measured on ranks and episodes", faults, summary)]


def _episodes(
    layout: Layout, params: Params, knowledge: Knowledge, cases: Sequence[Case], protocol: Protocol
) -> tuple[dict[str, list[Trajectory]], list[Check]]:
    """Read every system's episodes and check them."""
    numbered = {case.number: case for case in cases}
    runs = {run.system: run for run in runs_of(params.evaluate_agent)}
    by_system, checks = {}, []
    for path in sorted(layout.episodes(protocol, "any").parent.glob("*.jsonl")):
        episodes, run = list(read_trajectories(path)), runs.get(path.stem)
        tools, lists = (run.tools, run.prefetched) if run else (None, ())
        setting = setting_of(knowledge, params.agent, cases, tools, lists)
        order = run.order if run else 0
        own = {k: case.shuffled(order) for k, case in numbered.items()} if order else numbered
        faults = _faults(episodes, own, setting) + _blind_faults(
            layout, knowledge.data, params, episodes, own, tools, lists
        )
        faults += (
            []
            if [each.number for each in episodes] == list(numbered)
            else ["episodes of some cases are missing"]
        )
        summary = f"{len(episodes):,} episodes replayed: the same answers, rankings and rewards"
        claim = f"episodes of {path.stem}: of what precedes the moment ({protocol})"
        checks.append(judged("ranking", claim, faults and [*faults, _EVALUATE], summary))
        by_system[path.stem] = episodes
    return by_system, checks


def _ranks(table: dict[str, list[Any]], cases: Sequence[Case]) -> dict[str, np.ndarray]:
    by_system: dict[str, list[list[int]]] = {}
    for system, best, worst in zip(table["system"], table["rank"], table["worst_rank"], strict=True):
        by_system.setdefault(system, []).append([best, worst])
    return {name: np.array(own) for name, own in by_system.items() if len(own) == len(cases)}


def _ranked(
    layout: Layout,
    data: Interactions,
    params: Params,
    knowledge: Knowledge,
    cases: Sequence[Case],
    protocol: Protocol,
    actual: tuple[dict[str, np.ndarray], dict[str, list[Trajectory]]],
) -> Check:
    """Check ranks against the episodes, and against systems without a language model, scored again."""
    ranks, by_system = actual
    expected = {
        name: np.array([[each.rank] * 2 for each in episodes]) for name, episodes in by_system.items()
    }
    own = params.evaluate_agent
    quick = [each for each in scoring_names(own) if SYSTEMS[each].kind != "language model"]
    cheap = [each for each in (*counted_names(own), *quick) if each in ranks]
    if cheap:
        only = own.model_copy(update={"systems": cheap})
        expected |= scored_ranks(Project(layout, params, data), knowledge, cases, only, protocol)
    wrong = [
        name for name in expected if name not in ranks or not np.array_equal(ranks[name], expected[name])
    ]
    left = [name for name in ranks if name not in expected]
    faults = [f"ranks of {first_few(wrong)} are not what they rank", _EVALUATE] if wrong else []
    summary = f"{len(expected)} systems ranked again" + (
        f"; not {', '.join(left)}, which the language model scores" if left else ""
    )
    return judged("ranking", f"ranks.parquet: of episodes and scores ({protocol})", faults, summary)
