"""Episodes with models made by hand, their record, and the embedded investigator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agent_by_hand import case_at
from click.testing import CliRunner

from thinkrec.agent.dialogue import read_ranking
from thinkrec.agent.environment import LISTS, OVER, TOOLS, error_text
from thinkrec.agent.rollout import (
    Dialogue,
    Setting,
    Trajectory,
    Turn,
    play,
    read_trajectories,
    roll_out,
    written,
)
from thinkrec.agent.scripted import Scripted
from thinkrec.errors import DataError
from thinkrec_cli.replay import command as replay

Settings = Callable[..., Setting]
ANSWER = {"role": "assistant", "content": "Ranking: B A C"}


def calling(*names: str) -> dict[str, Any]:
    calls = [
        {"id": f"{k}", "type": "function", "function": {"name": name, "arguments": {}}}
        for k, name in enumerate(names)
    ]
    return {"role": "assistant", "content": "Missing: much.", "tool_calls": calls}


class Follows:
    """A model that says these messages one after the other, each of 5 tokens after 7."""

    name = "follows"

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = messages
        self.batches: list[tuple[int, bool]] = []

    def turn(self, dialogues: Sequence[Dialogue], last: bool) -> list[Turn]:
        self.batches.append((len(dialogues), last))
        turns = [sum(m["role"] == "assistant" for m in each.messages) for each in dialogues]
        return [Turn(dict(self.messages[turn]), 7, 5) for turn in turns]


def test_an_answer_at_once(setting: Settings) -> None:
    model = Follows(ANSWER)
    [found] = roll_out(model, [case_at()], setting(TOOLS), [4], 1)
    assert model.batches == [(1, False)]
    assert [message["role"] for message in found.messages] == ["user", "assistant"]
    assert (found.order, found.valid, found.completed, found.rank) == ((1, 0, 2), True, 0, 1)
    assert (found.model, found.seed, found.read, found.said) == ("follows", 4, 7, 5)
    assert (found.calls, found.errors) == (dict.fromkeys(TOOLS, 0), 0)
    assert found.rewards == {"ndcg": 1, "format": 1, "efficiency": 1}
    assert found.versions == {"x": "1"}


def test_parallel_calls_are_answered_in_their_order(setting: Settings) -> None:
    model = Follows(calling("get_item", "search_profile"), ANSWER)
    [found] = roll_out(model, [case_at()], setting(TOOLS, max_calls=4), [0], 1)
    assert [(m["name"], m["tool_call_id"]) for m in found.messages if m["role"] == "tool"] == [
        ("get_item", "0"), ("search_profile", "1")
    ]  # fmt: skip
    assert found.messages[2]["content"].startswith("Met of late: B A C.")
    assert found.messages[3]["content"].startswith("Liked 2 of 3 items.")
    assert {name: count for name, count in found.calls.items() if count} == {
        "get_item": 1, "search_profile": 1
    }  # fmt: skip
    assert (found.read, found.said, found.rewards["efficiency"]) == (14, 10, 0.5)


@pytest.mark.parametrize("options", [{"max_turns": 1}, {"max_calls": 1}, {"max_episode_tokens": 12}])
def test_after_the_budget_one_more_message_may_be_the_answer(setting: Settings, options: Any) -> None:
    """The first call is answered unless the first message alone is over the budget of tokens."""
    model = Follows(calling("get_item"), ANSWER)
    [found] = roll_out(model, [case_at()], setting(TOOLS, **options), [0], 1)
    forced = "max_episode_tokens" in options
    assert [last for _, last in model.batches] == [False, forced]
    assert (found.valid, found.forced, found.errors) == (not forced, forced, int(forced))
    assert (found.order, found.completed) == ((1, 0, 2), 0)
    assert (found.rewards["format"], found.rewards["ndcg"]) == ((0, 0) if forced else (1, 1))


def test_a_call_after_the_budget_is_refused_and_the_answer_forced(setting: Settings) -> None:
    model = Follows(calling("get_item"), calling("search_profile"), ANSWER)
    [found] = roll_out(model, [case_at()], setting(TOOLS, max_turns=1), [0], 1)
    roles = ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [message["role"] for message in found.messages] == roles
    assert found.messages[4]["content"] == error_text(OVER)
    assert (sum(found.calls.values()), found.errors, found.valid, found.forced) == (2, 1, False, True)
    assert found.order == (1, 0, 2)


def test_tokens_of_an_episode_are_the_last_turns(setting: Settings) -> None:
    """7 read and 5 said, then 25 letters of a tool: that is 18, and over a budget of 18, not of 19."""
    for budget, forced in ((18, True), (19, False)):
        model = Follows(calling("search_history"), calling("search_history"), ANSWER)
        how = setting(TOOLS, max_episode_tokens=budget)
        [dialogue] = [how.open(case_at(), 0)]
        dialogue.size = 0
        dialogue.tools["search_history"] = lambda: "x" * 25
        play(model, [dialogue], how.options)
        assert dialogue.over == forced


@pytest.mark.parametrize("calls", [1, 6])
def test_answers_told_at_once(setting: Settings, calls: int) -> None:
    """They cost no budget, and are no calls of the model."""
    model = Follows(ANSWER)
    [found] = roll_out(model, [case_at()], setting((), TOOLS, max_calls=calls), [0], 1)
    assert model.batches == [(1, False)]
    lines = found.messages[0]["content"].splitlines()
    assert [line.split(":")[0] for line in lines if line.split(":")[0] in TOOLS] == list(TOOLS)
    assert 'search_history: liked "Casablanca"; disliked "Brazil"; liked "Alien".' in lines
    assert (found.calls, found.errors, found.rewards["efficiency"]) == ({}, 0, 1)


def test_episodes_run_side_by_side(setting: Settings) -> None:
    model = Follows(calling("get_item"), ANSWER)
    found = roll_out(model, [case_at()] * 5, setting(TOOLS), range(5), 2)
    assert [size for size, _ in model.batches] == [2, 2, 2, 2, 1, 1]
    assert [each.seed for each in found] == [0, 1, 2, 3, 4]


def untimed(found: Sequence[Trajectory]) -> list[Trajectory]:
    return [replace(each, seconds=0.0) for each in found]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_a_journal_of_a_killed_run_is_gone_on_from(setting: Settings, tmp_path: Path, cut: int) -> None:
    """It holds whole batches of two and `cut` lines more, the last one torn in the midst of a letter."""
    odd = {"role": "assistant", "content": "é \u2028 \x85 \x1c é\nRanking: B A C"}
    cases, how = [replace(case_at(), number=k) for k in range(5)], setting(TOOLS)
    journal = tmp_path / "work" / "journal.jsonl"
    once = roll_out(Follows(odd), cases, how, range(5), 2, journal)
    lines = journal.read_bytes().split(b"\n")[:-1]
    assert len(lines) == 5
    torn = lines[cut][: lines[cut].index("é".encode()) + 1]
    journal.write_bytes(b"".join(line + b"\n" for line in lines[:cut]) + torn)
    model = Follows(odd)
    again = roll_out(model, cases, how, range(5), 2, journal)
    assert untimed(again) == untimed(once)
    assert sum(size for size, _ in model.batches) == 5 - cut // 2 * 2
    finished = Follows(odd)
    assert roll_out(finished, cases, how, range(5), 2, journal) == again
    assert not finished.batches


def test_damaged_lines_of_a_journal_are_run_again(setting: Settings, tmp_path: Path) -> None:
    """One of the first batch changed by hand, one of the second removed: the third is kept as it was."""
    cases, how = [replace(case_at(), number=k) for k in range(6)], setting(TOOLS)
    journal = tmp_path / "journal.jsonl"
    once = roll_out(Follows(ANSWER), cases, how, range(6), 2, journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"Ranking: B", b"Ranking: C")
    journal.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[3:]]))
    model = Follows(ANSWER)
    assert untimed(roll_out(model, cases, how, range(6), 2, journal)) == untimed(once)
    assert [size for size, _ in model.batches] == [2, 2]
    finished = Follows(ANSWER)
    assert untimed(roll_out(finished, cases, how, range(6), 2, journal)) == untimed(once)
    assert not finished.batches


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes"),
        ("[1]", "'line': Input should be a dictionary or an instance of Trajectory"),
        ('{"order": []}', "'model': Field required"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ("", "Expecting value"),
        (b"\xff", "can't decode byte 0xff"),
        ({"items": None}, "'items': Input should be a valid tuple"),
        ({"items": []}, "order names not each of at most 26 items once"),
        ({"items": list(range(27)), "order": list(range(27))}, "order names not each of at most 26 items"),
        ({"order": []}, "order names not each of at most 26 items once"),
        ({"order": [0, 1, 1]}, "order names not each of at most 26 items once"),
        ({"order": [1, 2, 3]}, "order names not each of at most 26 items once"),
        ({"target": 99}, "target is the place of no item"),
        ({"target": -1}, "target is the place of no item"),
        ({"target": None}, "'target': Input should be a valid integer"),
        ({"seconds": "soon"}, "'seconds': Input should be a valid number"),
        ({"seed": 1e999}, "'seed': Input should be a finite number"),
        ({"messages": None}, "'messages': Input should be a valid list"),
        ({"messages": [1]}, "'messages.0': Input should be a valid dictionary"),
        ({"messages": [{"role": "user"}]}, "'0.content': Field required"),
        ({"messages": [{"role": None, "content": ""}]}, "'0.role': Input should be a valid string"),
        (
            {"messages": [{"role": "user", "content": "", "tool_calls": [{}]}]},
            "'0.tool_calls.0.function': Field required",
        ),
        ({"rewards": None}, "'rewards': Input should be a valid dictionary"),
        ({"rewards": {"ndcg": 10**400}}, "'rewards.ndcg': Input should be a valid number"),
        ({"calls": [1]}, "'calls': Input should be a valid dictionary"),
        ({"more\x1b": 1}, r"'more\x1b': Unexpected keyword argument"),
        ({"more\ud800": 1}, "'line': Input should be a valid string"),
    ],
)
def test_a_line_that_is_no_trajectory(
    setting: Settings, tmp_path: Path, line: str | bytes | dict[str, Any], why: str
) -> None:
    """A mapping is what a good line is changed by."""
    good = written(roll_out(Follows(ANSWER), [case_at()], setting(TOOLS), [0], 1)[0])
    if isinstance(line, dict):
        line = json.dumps(json.loads(good) | line)
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(good.encode() + b"\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    found = read_trajectories(path)
    assert next(found).order == (1, 0, 2)
    with pytest.raises(DataError) as caught:
        next(found)
    assert str(caught.value).startswith(f"{path}, line 2: no trajectory (")
    assert why in str(caught.value)


def test_half_a_surrogate_pair_is_never_in_a_file(setting: Settings, tmp_path: Path) -> None:
    odd = {"role": "assistant", "content": "é \ud800\nRanking: B A C"}
    journal = tmp_path / "journal.jsonl"
    [found] = roll_out(Follows(odd), [case_at()], setting(TOOLS), [0], 1, journal)
    [again] = roll_out(Follows(), [case_at()], setting(TOOLS), [0], 1, journal)
    (tmp_path / "episodes.jsonl").write_text(f"{written(found)}\n", encoding="utf-8")
    assert again == next(read_trajectories(tmp_path / "episodes.jsonl"))
    assert again.messages[-1]["content"] == "é ?\nRanking: B A C"


def replayed(found: Trajectory, path: Path, **change: Any) -> str:
    path.write_text(json.dumps(vars(replace(found, **change))), encoding="ascii")
    result = CliRunner().invoke(replay, [str(path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.exception
    return result.output


def test_a_replay_shows_no_text_that_a_terminal_acts_on(setting: Settings, tmp_path: Path) -> None:
    """Whatever the file holds; line ends and letters stay."""
    odd = "é[b]\x1b[2J\x07\x9b\u202e\ud800\r日"
    call = {"function": {"name": odd, "arguments": {odd: odd}}}
    said = [
        {"role": odd, "name": odd, "content": f"first\n{odd}"},
        {"role": "assistant", "content": "", "tool_calls": [call, {"function": {}}]},
    ]
    [found] = roll_out(Follows(ANSWER), [case_at()], setting(TOOLS), [0], 1)
    shown = replayed(
        found, tmp_path / "odd.jsonl",
        model=odd, split=odd, messages=said, calls={odd: 1}, rewards={odd: 1.0},
    )  # fmt: skip
    assert all(letter == "\n" or letter.isprintable() for letter in shown)
    plain = r"é[b]\x1b[2J\x07\x9b\u202e\ud800\r日"
    assert f"│ first{' ' * 192}│\n│ {plain} " in shown
    assert f"╭─ {plain} {plain} ─" in shown
    assert f"│ calls {plain}({plain}=" in shown
    assert "│ calls None(None) " in shown
    assert f"rewards: {plain} 1.000" in shown


class TestScripted:
    @pytest.mark.parametrize("told", [(), LISTS])
    def test_a_seed_decides_all_and_every_answer_is_valid(self, setting: Settings, told: Any) -> None:
        cases, how = [case_at()] * 60, setting(() if told else TOOLS, told)
        found = untimed(roll_out(Scripted(), cases, how, range(60), 7))
        assert found == untimed(roll_out(Scripted(), cases, how, range(60), 60))
        assert all(each.valid and not each.errors for each in found)
        assert all(1 <= sum(each.calls.values()) <= 3 for each in found if not told)
        assert len({each.order for each in found}) > 1

    def test_calls_every_tool_at_once_or_one_after_the_other(self, setting: Settings) -> None:
        found = roll_out(Scripted(), [case_at()] * 60, setting(TOOLS), range(60), 60)
        assert all(sum(each.calls[name] for each in found) > 5 for name in TOOLS)
        turns = {(sum(each.calls.values()), len(each.messages)) for each in found}
        assert {(3, 6), (3, 8)} <= turns

    @pytest.mark.parametrize(
        ("name", "order"),
        [
            ("find_similar_users", (1, 0, 2)),
            ("get_item", (1, 0, 2)),
            ("search_knowledge_graph", (0, 2, 1)),
        ],
    )
    @pytest.mark.parametrize("at_once", [True, False])
    def test_follows_the_list_that_it_got(
        self, setting: Settings, name: str, order: tuple[int, ...], at_once: bool
    ) -> None:
        how = setting(() if at_once else [name], [name] if at_once else [])
        for each in roll_out(Scripted(), [case_at()] * 5, how, range(5), 5):
            assert each.order == order
            assert each.messages[-1]["content"].startswith(f"Decided by {name}.\n")

    def test_keeps_the_order_shown_without_a_list(self, setting: Settings) -> None:
        found = roll_out(Scripted(), [case_at()] * 5, setting(["search_profile"]), range(5), 5)
        assert {each.order for each in found} == {(0, 1, 2)}
        assert all(each.valid for each in found)

    def test_keeps_to_the_budget(self, setting: Settings) -> None:
        once = setting(TOOLS, max_turns=1, max_calls=1)
        found = roll_out(Scripted(), [case_at()] * 40, once, range(40), 40)
        assert all(each.valid for each in found)

    def test_reads_as_it_was_written(self, setting: Settings) -> None:
        [found] = roll_out(Scripted(), [case_at()], setting(TOOLS), [1], 1)
        assert read_ranking(found.messages[-1]["content"], "ABC") is not None
        assert json.loads(written(found))["items"] == [5, 4, 6]
