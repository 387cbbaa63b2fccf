"""The agent's cases drawn again, its episodes told again, its figures measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
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
from thinkrec.audit.check import Check, judged, some
from thinkrec.audit.same import differing, listed
from thinkrec.audit.spoil import spoiled
from thinkrec.config.agent import Subset
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Items, Split
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.backbone import load_tokenizer
from thinkrec.prompts.guard import Guard
from thinkrec.systems.project import Project
from thinkrec.systems.registry import SYSTEMS

_CASES = "run `thinkrec trajectories` again, if params.yaml has changed since"
_EVALUATE = "run `thinkrec evaluate-agent` again"
_BLIND = 3
"""Episodes of each system that are told again with all that follows their moment spoiled."""
SPLITS: tuple[Split, ...] = ("valid", "test")


def check_cases(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Draw the cases again; and look at each candidate's first moment."""
    items = len(Items.load(layout.items).title) - 1
    valid = data.rows("valid")
    rows = {"valid": valid[data.label[valid] == 1], "test": last_likes(data)}
    met, options, checks = first_interactions(data, items), params.agent, []
    for split in SPLITS:
        ours = load_cases(layout.cases, data, split)
        drawn = draw_cases(data, items, rows[split], split, options.candidates, params.seed).cases
        most, users = (
            (params.trajectories.max_cases, 0)
            if split == "valid"
            else (options.test_cases, options.subset_users)
        )
        want = chosen_cases(drawn, data, most, users, params.seed)
        wrong = [one for one, other in zip(ours, want, strict=False) if one != other]
        faults = some(len(wrong), "cases are others than are drawn", _case(wrong))
        faults += [] if len(ours) == len(want) else [f"there are {len(ours)} cases, {len(want)} are drawn"]
        late = [case for case in ours if any(met[item] >= case.moment for item in case.items)]
        faults += some(len(late), "cases show an item without an earlier interaction", _case(late))
        said = f"{len(ours):,} cases of {split}, drawn again: the same, of items with earlier interactions"
        checks.append(
            judged("cases", f"{split}: drawn before the moment", faults and [*faults, _CASES], said)
        )
    return checks


def _case(cases: Sequence[Case]) -> str:
    return f"user {cases[0].user}, number {cases[0].number}" if cases else ""


def _guard(layout: Layout) -> Guard:
    return Guard(load_tokenizer(layout.agent_backbone))


def check_trajectories(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Tell the kept episodes again: what tools answered must be what lies before each case's moment."""
    told = list(read_trajectories(layout.trajectories))
    cases = {case.number: case for case in load_cases(layout.cases, data, "valid")}
    knowledge = load_knowledge(layout, data, params.agent, _guard(layout))
    setting = setting_of(knowledge, params.agent, list(cases.values()))
    faults = _faults(told, cases, setting, any_order=True)
    dropped = [each for each in told if why_dropped(each, params.trajectories)]
    faults += some(len(dropped), "episodes are kept that the rules drop", _episode(dropped))
    faults += _unseen(layout, data, params, told, cases)
    said = f"{len(told):,} episodes replayed: the same first message, answers, ranking and rewards"
    return [judged("trajectories", "of what precedes the moment", faults and [*faults, _CASES], said)]


def _episode(episodes: Sequence[Trajectory]) -> str:
    return f"{episodes[0].model}, case {episodes[0].number}" if episodes else ""


def _faults(
    told: Sequence[Trajectory], cases: dict[int, Case], setting: Setting, any_order: bool = False
) -> list[str]:
    """Episodes that are of no case, or whose record is not what comes of telling them again."""
    strange, other, ranking = [], [], []
    for each in told:
        case = cases.get(each.number)
        if case is None or not _fits(each, case, any_order):
            strange.append(each)
            continue
        own = replace(case, items=each.items, target=each.target)
        if not _same_answers(each, own, setting):
            other.append(each)
        elif not _same_end(each, own, setting):
            ranking.append(each)
    faults = some(len(strange), "episodes are of no case", _episode(strange))
    faults += some(len(other), "episodes hold what tools don't answer at that moment", _episode(other))
    return faults + some(len(ranking), "episodes end in another ranking or reward", _episode(ranking))


def _fits(each: Trajectory, case: Case, any_order: bool) -> bool:
    same = (each.user, each.moment, each.split) == (case.user, case.moment, case.split)
    shown = sorted(each.items) == sorted(case.items) if any_order else each.items == case.items
    return same and shown and each.items[each.target] == case.items[case.target]


def _same_answers(each: Trajectory, case: Case, setting: Setting) -> bool:
    """Whether first message and tools' answers are what this knowledge gives."""
    dialogue = setting.open(case, each.seed)
    if each.messages[:1] != dialogue.messages:
        return False
    answers: list[str] = []
    for message in each.messages[1:]:
        if message["role"] == "assistant":
            if answers:
                return False
            for call in message.get("tool_calls") or []:
                said, function = len(dialogue.episode.log), call["function"]
                given = answer_call(
                    dialogue.tools, dialogue.episode, function.get("name"), function.get("arguments") or {}
                )
                assert len(dialogue.episode.log) > said
                answers.append(given)
        elif (message["content"] == error_text(OVER) and answers) or message["content"] == BROKEN:
            del answers[:1]
        elif not answers or message["content"] != answers.pop(0):
            return False
    return not answers


def _same_end(each: Trajectory, case: Case, setting: Setting) -> bool:
    last = str(each.messages[-1].get("content") or "")
    found = read_ranking(last, case.letters) or no_ranking(case.letters)
    told = [] if each.forced else each.messages
    rewards = episode_rewards(told, case.letters, case.target, setting.options.max_calls)
    valid = found.valid and not each.forced
    return (each.order, each.valid, each.rewards) == (found.order, valid, rewards)


def _unseen(
    layout: Layout,
    data: Interactions,
    params: Params,
    told: Sequence[Trajectory],
    cases: dict[int, Case],
    tools: tuple[str, ...] | None = None,
    shown: tuple[str, ...] = (),
) -> list[str]:
    """A few episodes told again with everything at and after their moment spoiled, which none may show."""
    known = [each for each in told if each.number in cases]
    places = {len(known) * k // _BLIND for k in range(_BLIND)} if known else set()
    wrong = []
    guard = _guard(layout)
    for each in (known[k] for k in places):
        blind = spoiled(data, data.timestamp >= each.moment)
        setting = setting_of(
            load_knowledge(layout, blind, params.agent, guard), params.agent, [], tools, shown
        )
        case = replace(cases[each.number], items=each.items, target=each.target)
        wrong += [] if _same_answers(each, case, setting) else [each]
    return some(len(wrong), "episodes change with what follows their moment", _episode(wrong))


def check_ranking(layout: Layout, data: Interactions, params: Params) -> list[Check]:
    """Check test episodes, ranks and agent.json against each other and against what can be scored again."""
    cases = load_cases(layout.cases, data, "test")
    knowledge = load_knowledge(layout, data, params.agent, _guard(layout))
    played, checks = _episodes(layout, params, knowledge, cases)
    table = pq.read_table(layout.agent_ranks)
    ranks = _ranks(table.to_pydict(), cases)
    checks.append(_ranked(layout, data, params, knowledge, cases, (ranks, played)))
    own = params.evaluate_agent
    made = {
        subset: compared(
            ranks, played, np.array([subset in case.subsets for case in cases]), own, params.seed
        )
        for subset in get_args(Subset)
    }
    wrong = differing(read_json(layout.agent_metrics), made)
    faults = [f"agent.json disagrees about {listed(wrong)}", _EVALUATE] if wrong else []
    said = f"{len(ranks)} systems measured again: the same figures"
    return [*checks, judged("ranking", "agent.json: measured on ranks and episodes", faults, said)]


def _episodes(
    layout: Layout, params: Params, knowledge: Knowledge, cases: Sequence[Case]
) -> tuple[dict[str, list[Trajectory]], list[Check]]:
    """Every system's episodes, and what is wrong with them."""
    numbered = {case.number: case for case in cases}
    runs = {run.system: run for run in runs_of(params.evaluate_agent)}
    played, checks = {}, []
    for path in sorted(layout.episodes("any").parent.glob("*.jsonl")):
        told, run = list(read_trajectories(path)), runs.get(path.stem)
        tools, shown = (run.tools, run.prefetched) if run else (None, ())
        setting = setting_of(knowledge, params.agent, cases, tools, shown)
        order = run.order if run else 0
        own = {k: case.shuffled(order) for k, case in numbered.items()} if order else numbered
        faults = _faults(told, own, setting) + _unseen(
            layout, knowledge.data, params, told, own, tools, shown
        )
        faults += (
            [] if [each.number for each in told] == list(numbered) else ["episodes of some cases are missing"]
        )
        said = f"{len(told):,} episodes replayed: the same answers, rankings and rewards"
        claim = f"episodes of {path.stem}: of what precedes the moment"
        checks.append(judged("ranking", claim, faults and [*faults, _EVALUATE], said))
        played[path.stem] = told
    return played, checks


def _ranks(table: dict[str, list[Any]], cases: Sequence[Case]) -> dict[str, np.ndarray]:
    found: dict[str, list[list[int]]] = {}
    for system, best, worst in zip(table["system"], table["rank"], table["worst_rank"], strict=True):
        found.setdefault(system, []).append([best, worst])
    return {name: np.array(own) for name, own in found.items() if len(own) == len(cases)}


def _ranked(
    layout: Layout,
    data: Interactions,
    params: Params,
    knowledge: Knowledge,
    cases: Sequence[Case],
    found: tuple[dict[str, np.ndarray], dict[str, list[Trajectory]]],
) -> Check:
    """Ranks are those of the episodes, and of the systems that score without a language model."""
    ranks, played = found
    want = {name: np.array([[each.rank] * 2 for each in told]) for name, told in played.items()}
    own = params.evaluate_agent
    quick = [each for each in scoring_names(own) if SYSTEMS[each].kind != "language model"]
    cheap = [each for each in (*counted_names(own), *quick) if each in ranks]
    if cheap:
        only = own.model_copy(update={"systems": cheap})
        want |= scored_ranks(Project(layout, params, data), knowledge, cases, only)
    wrong = [name for name in want if name not in ranks or not np.array_equal(ranks[name], want[name])]
    left = [name for name in ranks if name not in want]
    faults = [f"ranks of {listed(wrong)} are not what they rank", _EVALUATE] if wrong else []
    said = f"{len(want)} systems ranked again" + (
        f"; not {', '.join(left)}, which the language model scores" if left else ""
    )
    return judged("ranking", "ranks.parquet: of episodes and scores", faults, said)
