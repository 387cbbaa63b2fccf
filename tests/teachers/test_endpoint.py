"""Teacher and extractor behind a real HTTP server."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, split_thinking
from thinkrec.teachers.endpoint import EndpointTeacher, parse_verdict
from thinkrec.teachers.extractor import EndpointExtractor
from thinkrec.teachers.parallel import ordered_map
from thinkrec.teachers.protocol import Case, ItemFields, ItemView, Rated
from thinkrec.teachers.reflect import REMINDER, reason_with

CASE = Case(
    (Rated(ItemView("Alien", ("space",)), True), Rated(ItemView("Cube"), False)),
    ItemView("Moon", ("space",)),
    "1:2",
)


@pytest.fixture
def client(endpoint: Endpoint, tmp_path: Path) -> ChatClient:
    return ChatClient(endpoint, "synthesize", tmp_path / "answers.jsonl", seed=5)


def test_the_question_holds_history_labels_and_target_and_nothing_else(
    server: ChatServer, client: ChatClient
) -> None:
    answer = EndpointTeacher(client).answer(CASE, ())
    assert (answer.verdict, answer.reasoning) == (True, "It fits.")
    (request,) = server.requests
    (message,) = request["messages"]
    assert '- liked: "Alien" (space)\n- disliked: "Cube"\n' in message["content"]
    assert 'The next item is "Moon" (space)\n' in message["content"]
    assert {name: request[name] for name in ("model", "max_tokens", "temperature", "seed")} == {
        "model": "m", "max_tokens": 100, "temperature": 0.6, "seed": 5,
    }  # fmt: skip


def test_a_local_endpoint_needs_no_key(
    server: ChatServer,
    client: ChatClient,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.ask([{"role": "user", "content": "a"}])
    monkeypatch.setenv("THINKREC_TEST_KEY", "secret")
    ChatClient(endpoint, "synthesize", tmp_path / "answers.jsonl").ask([{"role": "user", "content": "b"}])
    assert server.keys == ["Bearer none", "Bearer secret"]
    assert "secret" not in (tmp_path / "answers.jsonl").read_text()


def test_a_service_error_is_tried_again(server: ChatServer, client: ChatClient) -> None:
    server.script = lambda request: 500 if len(server.requests) == 1 else "No. Too loud."
    assert EndpointTeacher(client).answer(CASE, ()).verdict is False
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"content": "Yes. The user liked several films and the tar", "finish": "length"},
        {"content": "<think>Yes. Hmm, let me see", "finish": "length"},
        {"content": None, "reasoning_content": "Hmm, let me", "finish": "model_length"},
        {"content": "", "finish": None},  # a server that never says why
        {"content": "<think>Yes. Hmm, let me see", "finish": None},
    ],
)
def test_an_answer_that_was_cut_off_gets_a_larger_budget(
    server: ChatServer, client: ChatClient, said: dict[str, Any]
) -> None:
    server.script = lambda request: said if request["max_tokens"] < 200 else "Yes. Space again."
    answer = EndpointTeacher(client).answer(CASE, ())
    assert (answer.reasoning, answer.cut) == ("Space again.", False)
    assert [request["max_tokens"] for request in server.requests] == [100, 150, 200]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "<think>All of it is thinking",
        {"content": None, "reasoning_content": "Yes. All of it is thinking."},
        {"content": "Yes. A whole", "finish": None},
        {"content": "Yes. A", "finish": "content_filter"},
    ],
)
def test_an_answer_that_ended_by_itself_gets_no_larger_budget(
    server: ChatServer, client: ChatClient, said: Any
) -> None:
    server.script = lambda request: said
    EndpointTeacher(client).answer(CASE, ())
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_no_rationale_is_taken_from_a_cut_answer(
    server: ChatServer, client: ChatClient, endpoint: Endpoint, finish: str
) -> None:
    said = {"content": "Yes. The user liked several science fiction items and the tar", "finish": finish}
    server.script = lambda request: said
    found = reason_with(EndpointTeacher(client), CASE, True, 1, 0)
    assert (found.rejected, found.agreed) == ("cut off", True)
    asked = len(server.requests)
    again = EndpointTeacher(ChatClient(endpoint, "synthesize", client.cache.path, seed=5))
    assert reason_with(again, CASE, True, 1, 0) == found  # the reason to end is kept, too
    server.script = lambda request: said if len(request["messages"]) == 1 else "Yes. Space."
    found = reason_with(EndpointTeacher(client), CASE, True, 2, 0)
    assert (found.text, found.attempts, found.hinted, found.rejected) == ("Yes. Space.", 2, False, None)
    assert server.requests[-1]["messages"][-1]["content"] == REMINDER
    assert len(server.requests) == asked + 1


def test_the_last_keyword_of_a_cut_list_is_dropped(server: ChatServer, client: ChatClient) -> None:
    answers = {
        "A": "comedy, space opera, frien",
        "B": "comedy; space\n- fri",
        "C": "friendsh",
        "D": "comedy,",
    }
    server.script = lambda request: {
        "content": next(
            said for title, said in answers.items() if f'"{title}"' in request["messages"][0]["content"]
        ),
        "finish": "length",
    }
    found = EndpointExtractor(client, "demo", 10, 50).extract([ItemFields(title) for title in answers])
    assert found == [["comedy", "space opera"], ["comedy", "space"], [], ["comedy"]]
    assert len(server.requests) == 3 * len(answers)


def test_thinking_is_the_reason_only_where_the_answer_gives_none(
    server: ChatServer, client: ChatClient
) -> None:
    server.script = lambda request: "<think>Both are about space.</think>\n\nYes."
    assert EndpointTeacher(client).answer(CASE, ()).reasoning == "Both are about space."
    server.script = lambda request: {"content": "No.", "reasoning_content": "Cube was loud."}
    other = Case(CASE.history, ItemView("Saw"), "1:3")
    assert EndpointTeacher(client).answer(other, ()).reasoning == "Cube was loud."
    server.script = lambda request: "thought</think>No. Short."
    third = Case(CASE.history, ItemView("Heat"), "1:4")
    assert EndpointTeacher(client).answer(third, ()).reasoning == "Short."


def test_the_loop_goes_on_as_one_conversation(server: ChatServer, client: ChatClient) -> None:
    answers = ["I think so", "Yes. A.", "No. Cube was loud."]
    server.script = lambda request: answers[len(server.requests) - 1]
    found = reason_with(EndpointTeacher(client), CASE, False, 3, 0)
    assert (found.text, found.hinted, found.rejected) == ("No. Cube was loud.", True, None)
    messages = server.requests[-1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2 + ["user"]
    assert messages[1]["content"] == "I think so" and messages[2]["content"] == REMINDER
    assert "No" in messages[4]["content"]
    assert "No" not in messages[0]["content"].replace('"No."', "")


def test_nothing_is_asked_twice(server: ChatServer, client: ChatClient, endpoint: Endpoint) -> None:
    first = EndpointTeacher(client).answer(CASE, ())
    again = ChatClient(endpoint, "synthesize", client.cache.path, seed=5)
    assert EndpointTeacher(again).answer(CASE, ()) == first
    assert len(server.requests) == 1
    EndpointTeacher(ChatClient(endpoint, "synthesize", client.cache.path, seed=6)).answer(CASE, ())
    assert len(server.requests) == 2  # another seed is another request


def test_many_at_once_keep_their_order(server: ChatServer, endpoint: Endpoint, tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def slow(request: dict[str, Any]) -> Any:
        number = int(request["messages"][0]["content"].split("Title ")[1].split('"')[0])

        def answer() -> str:
            together.wait(timeout=60)  # breaks unless all eight are asked at once
            time.sleep(0.05 * (8 - number))
            return f"word{'abcdefgh'[number]}"

        return answer

    server.script = slow
    client = ChatClient(
        endpoint.model_copy(update={"concurrency": 8}), "summarize", tmp_path / "answers.jsonl"
    )
    found = EndpointExtractor(client, "demo", 10, 50).extract([ItemFields(f"Title {k}") for k in range(8)])
    assert found == [[f"word{letter}"] for letter in "abcdefgh"]
    assert len(client.cache.path.read_text().splitlines()) == 8


def test_an_error_in_one_ends_all() -> None:
    asked: list[int] = []

    def ask(number: int) -> int:
        asked.append(number)
        time.sleep(0.01)
        if number == 1:
            raise TeacherError("down")
        return number

    with pytest.raises(TeacherError, match="down"):
        ordered_map(ask, range(1000), 4, "test")
    assert len(asked) < 1000


def failure(endpoint: Endpoint, tmp_path: Path, section: str = "synthesize", **change: Any) -> str:
    client = ChatClient(endpoint.model_copy(update={"retries": 0, **change}), section, tmp_path / "a.jsonl")
    with pytest.raises(TeacherError) as error:
        client.ask([{"role": "user", "content": "?"}])
    assert error.value.exit_code == 7
    return str(error.value)


AGAIN = "; then run the same command again, which resumes from the 0 answers kept so far"


def test_an_endpoint_that_is_down(server: ChatServer, endpoint: Endpoint, tmp_path: Path) -> None:
    server.close()
    assert failure(endpoint, tmp_path) == (
        f"the endpoint {server.url} (model m) cannot be reached, after 1 try: "
        f"start it, or correct synthesize.endpoint.base_url{AGAIN}"
    )


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "the server refuses this request: check synthesize.endpoint.model and the answer budgets"),
        (401, "set the environment variable THINKREC_TEST_KEY to a valid key"),
        (
            404,
            "check synthesize.endpoint.base_url (with its version, such as /v1) "
            "and synthesize.endpoint.model",
        ),
        (429, "lower synthesize.endpoint.concurrency or wait"),
        (503, "look into the server's log, or lower synthesize.endpoint.concurrency"),
    ],
)
def test_statuses(server: ChatServer, endpoint: Endpoint, tmp_path: Path, status: int, advice: str) -> None:
    server.script = lambda request: status
    assert failure(endpoint, tmp_path) == (
        f"the endpoint {server.url} (model m) answered {status} (status {status}), after 1 try: "
        f"{advice}{AGAIN}"
    )


def test_a_slow_endpoint_and_one_that_is_something_else(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    server.script = lambda request: lambda: time.sleep(0.5) or "late"
    said = failure(endpoint, tmp_path, "summarize", timeout=0.1)
    assert "gave no answer within 0.1 s, after 1 try: raise summarize.endpoint.timeout" in said
    server.requests.clear()
    server.script = lambda request: {"raw": "<html>Welcome</html>"}
    said = failure(endpoint, tmp_path, retries=3)
    assert "sent something that is not a chat completion (<html>Welcome</html>), after 4 tries: check" in said
    assert len(server.requests) == 4  # a gateway may send such a page while it starts


def test_keywords_out_of_all_kinds_of_lists(server: ChatServer, endpoint: Endpoint, tmp_path: Path) -> None:
    answers = iter(
        [
            "Space, Robots; 1999, demo",
            "1. space\n2. robots\n- horror",
            "I am sorry, I can not name any key words for it",
            "Keywords: comedy, space",
            "Sure! Here are the key words:\n- **comedy**\n- space",
            "## Keywords\n\n1. comedy\n2. space",
            "**Keywords for this film:** comedy; space",
            "keyword 1: comedy\nKeyword 2: space",
            "Tags - comedy, vintage",
        ]
    )
    server.script = lambda request: next(answers)
    client = ChatClient(endpoint, "summarize", tmp_path / "answers.jsonl")
    items = [ItemFields(f"T{k}", "one two three four", ("Drama",)) for k in range(9)]
    found = EndpointExtractor(client, "demo", 3, 2).extract(items)
    assert found[:3] == [["space", "robots"], ["space", "robots", "horror"], ["i am sorry"]]
    assert found[3:8] == [["comedy", "space"]] * 5
    assert found[8] == ["tags - comedy", "vintage"]
    asked = server.requests[0]["messages"][0]["content"]
    assert 'Categories: "Drama"\nDescription: "one two"\n' in asked and "up to 3 keywords" in asked


@pytest.mark.parametrize(
    ("final", "verdict", "reasoning"),
    [
        ("Yes. It fits.", True, "It fits."),
        ("**No.** Too\n\nloud.", False, "Too loud."),
        ("no - never", False, "never"),
        ("YES\nbecause", True, "because"),
        ("Yes", True, ""),
        ("**Answer:** Yes. It fits.", True, "It fits."),
        ("Answer: No", False, ""),
        ("Final answer: **Yes**\n\nIt fits.", True, "It fits."),
        ("### Verdict\nNo. Too loud.", False, "Too loud."),
        ("Answer: No doubt they like it", None, "Answer: No doubt they like it"),
        ("Answer: Yes or no, who knows", None, "Answer: Yes or no, who knows"),
        ("'Yes.' or 'No.', that is the question", None, "'Yes.' or 'No.', that is the question"),
        ("Answer the question: Yes.", None, "Answer the question: Yes."),
        ("My answer depends. Yes.", None, "My answer depends. Yes."),
        ("No doubt they like it", None, "No doubt they like it"),
        ("Nobody knows.", None, "Nobody knows."),
        ("The answer is Yes.", None, "The answer is Yes."),
        ("", None, ""),
    ],
)
def test_the_verdict_is_read_strictly(final: str, verdict: bool | None, reasoning: str) -> None:
    assert parse_verdict(final) == (verdict, reasoning)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<think>a</think> b", ("a", "b")),
        ("a</think>b", ("a", "b")),
        ("<think>a", ("a", "")),
        ("b", ("", "b")),
        ("", ("", "")),
    ],
)
def test_thinking_is_parted_from_the_answer(content: str, expected: tuple[str, str]) -> None:
    assert split_thinking(content) == expected


def test_keys_in_further_fields_and_wrapped_keys_are_not_shown(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, further = "sk-MARKER0123456789-MARKERabcdefgh", "sk-MARKER-5556667778"
    monkeypatch.setenv("THINKREC_TEST_KEY", key)
    words = f"wrong: {further} {further[:12]} {further[12:]} {key[:16]} {key[16:]}\n{key[:20]}\n{key[20:]}"
    server.script = lambda _: {"raw": {"error": {"message": words}}, "status": 401}
    said = failure(endpoint, tmp_path, extra_body={"api_key": further})
    assert "answered 401 (wrong: ***" in said
    assert not [part for part in ("MARKER", "0123456", "abcdefgh", "5556667") if part in said]
