"""Episodes by a model behind a chat endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_by_hand import case_at
from chat_server import ChatServer

from thinkrec.agent.endpoint import NOW, Remote
from thinkrec.agent.environment import TOOLS
from thinkrec.agent.filter import why_dropped
from thinkrec.agent.rollout import BROKEN, Setting, Trajectory, roll_out
from thinkrec.config.agent import Trajectories
from thinkrec.config.models import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient

Settings = Callable[..., Setting]


def episode(server: ChatServer, setting: Setting, folder: Path) -> Trajectory:
    return episodes(server, setting, folder, 3)[0]


def episodes(
    server: ChatServer, setting: Setting, folder: Path, *seeds: int, **options: Any
) -> list[Trajectory]:
    """Side by side."""
    fixed = {"concurrency": 1, "retries": 0, "timeout": 10, "temperature": 0.7, "max_tokens": 50}
    endpoint = Endpoint.model_validate({"base_url": server.url, "model": "m"} | fixed | options)
    remote = Remote(ChatClient(endpoint, "trajectories", folder / "answers.jsonl"))
    return roll_out(remote, [case_at()] * len(seeds), setting, seeds, len(seeds))


def called(name: str, arguments: str = "{}", number: str = "c1") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def saying(*messages: Any) -> Callable[[dict[str, Any]], Any]:
    """Answers in this order."""
    left = list(messages)
    return lambda request: left.pop(0)


def test_calls_go_out_as_tools_and_come_back_as_answers(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    calls = [called("get_item", '{"items": ["A", "C"]}'), called("search_profile", "{}", "c2")]
    server.script = saying({"content": "Missing: much.", "tool_calls": calls}, "Ranking: B C A")
    found = episode(server, setting(TOOLS), tmp_path)
    assert found.order == (1, 2, 0)
    assert found.valid
    assert (found.calls["get_item"], found.calls["search_profile"], found.errors) == (1, 1, 0)
    first, second = server.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == list(TOOLS)
    assert (first["tool_choice"], first["seed"], first["temperature"], first["max_tokens"]) == (
        "auto",
        3,
        0.7,
        50,
    )
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool", "tool"]
    sent = second["messages"][1]["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in sent] == [{"items": ["A", "C"]}, {}]
    assert [message["tool_call_id"] for message in second["messages"][2:]] == ["c1", "c2"]
    assert second["messages"][2]["content"].startswith("Ranked by recent popularity: ")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (called("buy"), "Tool buy not found."),
        (called("get_item", "not JSON"), "the arguments are not a JSON object"),
        (called("get_item", '{"items": "A"}'), "get_item: items: input should be a valid list"),
        (called("get_item", '{"items": ["Z"]}'), "there is no candidate 'Z'"),
        (called("search_history", r'{"query": "\ud800"}'), "the arguments are not a JSON object"),
        (called("get_item", f'{{"items": {"[" * 900}{"]" * 900}}}'), "the arguments are not a JSON object"),
    ],
)
def test_broken_calls_are_answered(
    server: ChatServer, setting: Settings, tmp_path: Path, call: dict[str, Any], error: str
) -> None:
    server.script = saying({"content": "", "tool_calls": [call]}, "Ranking: A B C")
    found = episode(server, setting(TOOLS), tmp_path)
    assert (found.errors, found.valid) == (1, True)
    assert error in server.requests[1]["messages"][2]["content"]


def test_calls_that_the_server_could_not_read_are_told_to_the_model(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    server.script = saying("<tool_call>{broken</tool_call>", "Ranking: A B C")
    found = episode(server, setting(TOOLS), tmp_path)
    assert found.errors == 1
    assert server.requests[1]["messages"][2] == {"role": "user", "content": BROKEN}


def test_the_last_turn_offers_no_call(server: ChatServer, setting: Settings, tmp_path: Path) -> None:
    server.script = lambda request: (
        "<think>enough</think>Ranking: C B A"
        if request["tool_choice"] == "none"
        else {
            "content": "",
            "tool_calls": [called("search_history", json.dumps({"query": str(len(request["messages"]))}))],
        }
    )
    found = episode(server, setting(TOOLS, max_turns=2), tmp_path)
    assert [request["tool_choice"] for request in server.requests] == ["auto", "auto", "auto", "none"]
    assert server.requests[-1]["messages"][-1] == {"role": "user", "content": NOW}
    assert (found.order, found.valid, found.forced) == ((2, 1, 0), False, True)
    assert found.messages[-1]["content"] == "Ranking: C B A"


def test_known_answers_are_not_asked_again(server: ChatServer, setting: Settings, tmp_path: Path) -> None:
    server.script = lambda request: "Ranking: A C B"
    first = episode(server, setting(TOOLS), tmp_path)
    again = episode(server, setting(TOOLS), tmp_path)
    assert len(server.requests) == 1
    assert (first.order, first.messages) == (again.order, again.messages)


def test_a_turn_that_was_cut_off_gets_a_larger_budget(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    server.script = lambda request: (
        {"content": "Ranking: C", "finish": "length"} if request["max_tokens"] < 1000 else "Ranking: C B A"
    )
    assert episode(server, setting(TOOLS), tmp_path).order == (2, 1, 0)
    assert [request["max_tokens"] for request in server.requests] == [50, 562, 1074]


def test_calls_and_content_of_odd_shape_are_read(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    calls = [
        {"id": None, "function": {"name": "get_item", "arguments": {"items": ["A"]}}},
        {"id": "c2", "function": None}, None,
        {"id": "c3", "function": {"name": None, "arguments": None}},
    ]  # fmt: skip
    last = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Ranking: B C A \ud800"}]
    server.script = saying({"content": None, "tool_calls": calls, "reasoning": ["Hm."]}, {"content": last})
    found = episode(server, setting(TOOLS), tmp_path)
    assert (found.order, found.calls["get_item"], found.errors) == ((1, 2, 0), 1, 1)
    assert found.messages[-1]["content"] == "Ranking: B C A ?"
    assert [call["id"] for call in server.requests[1]["messages"][1]["tool_calls"]] == ["call_0", "c3"]


def test_fields_of_the_request_by_parameter(server: ChatServer, setting: Settings, tmp_path: Path) -> None:
    server.script = lambda request: "Ranking: C B A"
    episodes(
        server, setting(TOOLS), tmp_path, 3, temperature=None, seed_field="random_seed",
        max_tokens_field="max_completion_tokens", extra_body={"top_k": 5},
    )  # fmt: skip
    (request,) = server.requests
    assert request.keys() == {
        "model", "messages", "tools", "tool_choice", "random_seed", "max_completion_tokens", "top_k",
    }  # fmt: skip
    assert (request["random_seed"], request["max_completion_tokens"], request["top_k"]) == (3, 50, 5)


def test_a_fault_within_a_success_ends_the_stage(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    server.script = lambda request: {"raw": {"error": {"message": "Rate limit exceeded", "code": 429}}}
    with pytest.raises(TeacherError, match=r"answered 200 with error 429 inside \(Rate limit exceeded\)"):
        episode(server, setting(TOOLS), tmp_path)


def test_a_model_that_says_nothing_in_its_first_turns_is_given_up(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    server.script = lambda request: {"content": None, "reasoning_content": "Ranking: C B A"}
    few = episodes(server, setting(TOOLS), tmp_path, *range(19))
    assert not any(each.valid for each in few)
    with pytest.raises(
        TeacherError, match="none of the first 20 answers contains text or a tool call: all are"
    ):
        episodes(server, setting(TOOLS), tmp_path, *range(20))
    server.script = lambda request: "Ranking: C B A" if request["seed"] == 20 else ""
    assert episodes(server, setting(TOOLS), tmp_path, *range(1, 21))[-1].valid


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, r"check trajectories\.endpoint\.model and the answer budgets"),
        (401, "set the environment variable OPENAI_API_KEY to a valid key"),
        (404, r"check trajectories\.endpoint\.base_url"),
        (500, "look into the server's log"),
    ],
)
def test_an_endpoint_that_fails_says_what_to_do(
    server: ChatServer, setting: Settings, tmp_path: Path, status: int, advice: str
) -> None:
    server.script = lambda request: status
    with pytest.raises(TeacherError, match=advice):
        episodes(server, setting(TOOLS), tmp_path, 1, 2)


@pytest.mark.parametrize("begun", [True, False])
def test_a_refused_request_ends_its_own_episode(
    server: ChatServer, setting: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    """Its second one, or its first; the other episode goes on."""

    def script(request: dict[str, Any]) -> Any:
        if len(request["messages"]) == 1 and (begun or request["seed"] == 1):
            return {"content": "", "tool_calls": [called("get_item")]}
        return "Ranking: B C A" if request["seed"] == 1 else 400

    server.script = script
    good, bad = episodes(server, setting(TOOLS), tmp_path, 1, 2)
    assert (good.order, good.valid) == ((1, 2, 0), True)
    assert (bad.order, bad.valid, bad.completed) == ((0, 1, 2), False, 3)
    assert (bad.messages[-1]["content"], sum(bad.calls.values())) == ("", int(begun))
    assert why_dropped(bad, Trajectories()) == "no_valid_answer"
    assert len(server.requests) == (4 if begun else 3)
    assert [record.message for record in caplog.records if record.name == "thinkrec.agent.endpoint"] == [
        "an episode ends without an answer: Error code: 400 - status 400"
    ]


def test_an_endpoint_that_fails_later_ends_the_stage(
    server: ChatServer, setting: Settings, tmp_path: Path
) -> None:
    server.script = saying("Ranking: B C A", 401)
    with pytest.raises(TeacherError, match="answered 401"):
        episodes(server, setting(TOOLS), tmp_path, 1, 2)
