"""Servers that answer otherwise than the schema says, and servers that want other requests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer

from thinkrec.config.sections import Endpoint
from thinkrec.errors import TeacherError
from thinkrec.teachers.chat import ChatClient, Reply
from thinkrec.teachers.completion import read_calls
from thinkrec.teachers.text import fingerprint

QUESTION = [{"role": "user", "content": "?"}]
TEXT, THINKING = {"type": "text", "text": "Yes. They liked A."}, {"type": "thinking", "thinking": "Hm. A is."}


def ask(endpoint: Endpoint, folder: Path, section: str = "synthesize", **change: Any) -> Reply:
    client = ChatClient(endpoint.model_copy(update=change), section, folder / "answers.jsonl")
    return client.ask(QUESTION)


def failure(endpoint: Endpoint, folder: Path, section: str = "synthesize", **change: Any) -> str:
    with pytest.raises(TeacherError) as error:
        ask(endpoint, folder, section, **change)
    assert not (folder / "answers.jsonl").exists()  # nothing is kept of what is no answer
    return str(error.value)


@pytest.mark.parametrize(
    ("said", "thinking", "text"),
    [
        ([THINKING, TEXT], "Hm. A is.", "Yes. They liked A."),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}, "A is."]}, TEXT],
            "Hm. A is.", "Yes. They liked A.",
        ),
        ([{"type": "reasoning", "text": "Hm. A is."}, TEXT], "Hm. A is.", "Yes. They liked A."),
        ([{"type": "reasoning", "content": "Hm. A is."}, TEXT], "Hm. A is.", "Yes. They liked A."),
        (
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}, TEXT],
            "Hm.", "Yes. They liked A.",
        ),
        ([{"type": "redacted_thinking", "data": "x"}, TEXT], "", "Yes. They liked A."),
        ([{"type": "text", "text": "Yes. They "}, TEXT | {"text": "liked A."}], "", "Yes. They liked A."),
        (["Yes. They ", "liked A."], "", "Yes. They liked A."),
        ([{"type": "image_url", "image_url": {"url": "x"}}, None, TEXT], "", "Yes. They liked A."),
        (TEXT, "", "Yes. They liked A."),
        ([], "", ""),
        (None, "", ""),
        (7, "", "7"),
        (0.5, "", "0.5"),
        ("Yes. A\ud83d film.", "", "Yes. A? film."),
        ([{"type": "text", "text": "Yes. \udc00"}], "", "Yes. ?"),
    ],
)  # fmt: skip
def test_content_in_all_shapes(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, said: Any, thinking: str, text: str
) -> None:
    server.script = lambda request: {"content": said}
    first = ask(endpoint, tmp_path)
    assert (first.thinking, first.text, first.cut) == (thinking, text, False)
    assert ask(endpoint, tmp_path) == first
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_content": "Hm."}, "Hm."),
        ({"reasoning_content": None, "reasoning": {"type": "x", "text": "Hm."}}, "Hm."),
        ({"reasoning_content": [{"type": "text", "text": "Hm."}, " A."]}, "Hm. A."),
        ({"reasoning": "", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, "Hm."),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, ""),
        ({"reasoning_content": 5, "reasoning": True}, "5"),
        ({"reasoning_content": "A \ud800"}, "A ?"),
    ],
)
def test_thinking_in_all_shapes(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, fields: dict[str, Any], thinking: str
) -> None:
    server.script = lambda request: {"content": "Yes.", **fields}
    assert ask(endpoint, tmp_path).thinking == thinking


def test_a_refusal_is_the_answer(server: ChatServer, endpoint: Endpoint, tmp_path: Path) -> None:
    server.script = lambda request: {"content": None, "refusal": "I can't help with that."}
    assert ask(endpoint, tmp_path).text == "I can't help with that."


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": None, "completion_tokens": 3}, "many"])
def test_odd_counts_of_tokens_are_none(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, usage: Any
) -> None:
    server.script = lambda request: {"raw": {"choices": [{"message": {"content": "Yes."}}], "usage": usage}}
    assert ask(endpoint, tmp_path).usage == (0, 0)


def test_calls_in_all_shapes() -> None:
    def call(name: str, arguments: str, number: str) -> dict[str, Any]:
        return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}

    said = [
        call("a", "{}", "c1") | {"index": 0},
        {"id": None, "function": {"name": "b", "arguments": {"items": ["A"]}}},
        {"function": {"name": None, "arguments": None}},
        {"id": "c4", "function": None},
        "buy",
        None,
    ]
    assert read_calls(said) == [
        call("a", "{}", "c1"), call("b", '{"items": ["A"]}', "call_1"), call("", "{}", "call_2"),
    ]  # fmt: skip
    assert read_calls(None) == read_calls("a") == read_calls({}) == []


@pytest.mark.parametrize("content", [True, {"verdict": "Yes"}])
def test_content_that_is_no_text(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, content: Any
) -> None:
    server.script = lambda request: {"content": content}
    said = failure(endpoint, tmp_path, retries=0)
    shown = "true" if content is True else '{"verdict": "Yes"}'
    assert f"answered 200 with content that is not text, {shown} (" in said
    assert "after 1 try: check that synthesize.endpoint.base_url is" in said
    server.script = lambda request: "Yes. Well again."  # on a healthy server it goes on
    assert ask(endpoint, tmp_path).text == "Yes. Well again."


LIMIT = {"message": "Rate limit exceeded", "code": 429}


@pytest.mark.parametrize(
    ("body", "what", "advice"),
    [
        ({"error": LIMIT}, "error 429 inside (Rate limit exceeded)", "lower synthesize.endpoint.concurrency"),
        ({"error": {**LIMIT, "code": "429"}, "choices": None}, "error 429 inside (Rate limit", "lower synth"),
        ([{"error": {**LIMIT, "status": "RESOURCE_EXHAUSTED"}}], "error 429 inside (Rate", "lower synth"),
        ({"error": {"error": LIMIT}}, "error 429 inside (Rate limit exceeded)", "lower synth"),
        ({"object": "error", **LIMIT}, "error 429 inside (Rate limit exceeded)", "lower synth"),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, "error 429 inside (m)", "lower synth"),
        ({"error": "Rate limit exceeded"}, "error 429 inside (Rate limit exceeded)", "lower synth"),
        ({"choices": [{"error": LIMIT, "finish_reason": "error", "message": {"content": ""}}]},
         "error 429 inside ({", "lower synth"),
        ({"error": {"message": "m", "type": "overloaded_error"}}, "error 503 inside (m)", "look into the"),
        ({"error": {"message": "Boom"}}, "an error inside (Boom)", "check that synthesize.endpoint.base_url"),
        ({"choices": None}, 'no message ({"choices": null})', "check that synthesize.endpoint.base_url"),
        ({"choices": []}, 'no message ({"choices": []})', "check that synthesize.endpoint.base_url"),
        ({"choices": [{"message": None}]}, "no message (", "check that synthesize.endpoint.base_url"),
        ({"object": "list"}, "no message (", "check that synthesize.endpoint.base_url"),
    ],
)  # fmt: skip
def test_a_passing_fault_within_a_success_is_tried_again(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, body: Any, what: str, advice: str
) -> None:
    server.script = lambda request: {"raw": body}
    said = failure(endpoint, tmp_path)
    assert f"(model m) answered 200 with {what}" in said
    assert f"), after 2 tries: {advice}" in said
    assert len(server.requests) == 2
    server.script = lambda request: {"raw": body} if len(server.requests) == 3 else "Yes."
    assert ask(endpoint, tmp_path).text == "Yes."


@pytest.mark.parametrize(
    ("error", "status", "advice"),
    [
        ({"code": 401}, 401, "set the environment variable THINKREC_TEST_KEY"),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, 401, "set the environment variable"),
        ({"code": 404}, 404, "check synthesize.endpoint.base_url"),
        ({"type": "NotFoundError"}, 404, "check synthesize.endpoint.base_url"),
        ({"type": "invalid_request_error", "code": None}, 400, "the server refuses this request"),
        ({"code": 403}, 403, "set the environment variable"),
        ({"code": 402}, 402, "the account has no quota left"),
    ],
)
def test_a_lasting_fault_within_a_success_is_not(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, error: dict[str, Any], status: int, advice: str
) -> None:
    server.script = lambda request: {"raw": {"error": {"message": "So it is", **error}}}
    said = failure(endpoint, tmp_path)
    assert f"answered 200 with error {status} inside (So it is), after 1 try: {advice}" in said
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, {"code": "insufficient_quota"}),
        (200, {"type": "insufficient_quota"}),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}),
        (429, {"type": "insufficient_quota", "code": None}),
        (400, {"code": "billing_hard_limit_reached", "type": "invalid_request_error"}),
        (402, {}),
    ],
)
def test_a_used_up_quota_is_not_waited_for(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, status: int, kind: dict[str, Any]
) -> None:
    error = {"message": "You exceeded your current quota", **kind}
    server.script = lambda request: {"raw": {"error": error}, "status": status}
    assert (
        "(You exceeded your current quota), after 1 try: the account has no quota left: look at the plan and "
        "billing behind the key in THINKREC_TEST_KEY; then run"
    ) in failure(endpoint, tmp_path)
    assert len(server.requests) == 1


def test_the_pause_that_the_server_asks_for_is_kept(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    server.script = lambda request: (
        {"raw": {"error": LIMIT}, "headers": {"Retry-After": "1.3"}} if len(server.requests) == 1 else "Yes."
    )
    start = time.perf_counter()
    assert ask(endpoint, tmp_path).text == "Yes."
    assert time.perf_counter() - start > 1.2  # else 0.5 s


def refusing(refused: str, words: Any, status: int = 400) -> Any:
    def script(request: dict[str, Any]) -> Any:
        return {"raw": words, "status": status} if refused in request else "Yes. It fits."

    return script


def openai_says(words: str) -> dict[str, Any]:
    return {"error": {"message": words, "type": "invalid_request_error", "code": "unsupported_parameter"}}


def forbidden(field: str) -> dict[str, Any]:
    return {
        "detail": [
            {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}
        ]
    }


@pytest.mark.parametrize("section", ["summarize", "synthesize", "trajectories"])
@pytest.mark.parametrize(
    ("field", "words", "status", "change", "advice"),
    [
        (
            "max_tokens",
            openai_says("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                        "'max_completion_tokens' instead."),
            400, {"max_tokens_field": "max_completion_tokens"}, "max_tokens_field: max_completion_tokens",
        ),
        ("max_tokens", forbidden("max_tokens"), 422, {"max_tokens_field": None}, "max_tokens_field: null"),
        (
            "temperature",
            openai_says("Unsupported value: 'temperature' does not support 0.6 with this model. Only the "
                        "default (1) value is supported."),
            400, {"temperature": None}, "temperature: null",
        ),
        ("seed", forbidden("seed"), 422, {"seed_field": None}, "seed_field: null"),
        ("seed", {"message": {"detail": forbidden("seed")["detail"]}}, 422, {"seed_field": "random_seed"},
         "seed_field: null"),
        ("seed", {"error": {"message": "Unknown field seed", "code": 400}}, 200, {"seed_field": None},
         "seed_field: null"),
    ],
)  # fmt: skip
def test_a_refused_field_is_mended_by_the_parameter_that_the_error_names(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, section: str, field: str, words: Any, status: int,
    change: dict[str, Any], advice: str,
) -> None:  # fmt: skip
    server.script = refusing(field, words, status)
    assert f", after 1 try: set {section}.endpoint.{advice}; then run" in failure(endpoint, tmp_path, section)
    assert ask(endpoint, tmp_path, section, **change).text == "Yes. It fits."
    sent = server.requests[-1]
    assert field not in sent and len(sent) == 4 + (next(iter(change.values())) is not None)


@pytest.mark.parametrize(
    "words",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 3072. The maximum context length is 2048.",
        "max_tokens is too large: 30000. This model supports at most 4096 completion tokens.",
        "This model supports at most 4096 completion tokens, whereas you provided 30000.",
        "max_tokens: 30000 > 8192, which is the maximum allowed number of output tokens",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "max_completion_tokens must be at most 512; more is not supported",
    ],
)
def test_a_budget_that_is_too_large_is_to_be_lowered(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, words: str
) -> None:
    server.script = lambda request: {"raw": {"error": {"message": words}}, "status": 400}
    assert (
        ", after 1 try: lower synthesize.endpoint.max_tokens and synthesize.endpoint.max_tokens_limit; then "
        "run"
    ) in failure(endpoint, tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        "temperature must be 1 for this model",
        "`temperature` may only be set to 1 when thinking is enabled.",
        "invalid temperature: only 1 is allowed for this model",
        "Only temperature=1 is accepted",
        {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than or equal to 0"}]},
    ],
)
def test_a_temperature_that_is_fixed_is_to_be_left_out(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, words: Any
) -> None:
    server.script = refusing("temperature", {"error": words}, 400)
    assert ": set synthesize.endpoint.temperature: null; then run" in failure(endpoint, tmp_path)
    assert ask(endpoint, tmp_path, temperature=None).text == "Yes. It fits."


@pytest.mark.parametrize("words", ["The prompt has 5000 tokens.", "Set a lower temperature on your oven"])
def test_other_refusals_get_general_advice(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, words: str
) -> None:
    server.script = lambda request: {"raw": {"error": {"message": words}}, "status": 400}
    assert "check synthesize.endpoint.model and the answer budgets" in failure(endpoint, tmp_path)


@pytest.mark.parametrize("code", [0, "0", None, ""])
def test_an_error_that_says_that_there_is_none_is_none(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, code: Any
) -> None:
    body = {"error": {"code": code, "message": "ok"}}
    full = {"choices": [{"message": {"content": "Yes. It fits."}, "finish_reason": "stop"}]}
    server.script = lambda request: {"raw": body | full}
    assert ask(endpoint, tmp_path).text == "Yes. It fits."
    (tmp_path / "answers.jsonl").unlink()
    empty = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    server.script = lambda request: {"raw": body | empty}
    assert "answered 200 with an error inside (ok)" in failure(endpoint, tmp_path, retries=0)
    server.script = lambda request: {"raw": {"error": {"code": 429}} | full}
    assert "answered 200 with error 429 inside" in failure(endpoint, tmp_path, retries=0)


@pytest.mark.parametrize("status", [200, 400])
def test_json_that_is_nested_too_deeply_is_a_fault(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path, status: int
) -> None:
    deep = "[" * 700 + "]" * 700
    body = f'{{"choices": [{{"message": {{"content": {deep}}}}}]}}'
    server.script = lambda request: {"raw": body, "status": status}
    said = failure(endpoint, tmp_path, retries=0)
    assert "JSON nested too deeply" in said or "not a chat completion" in said


def test_further_fields_are_sent_and_named_where_they_are_refused(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}
    ask(endpoint, tmp_path, extra_body=extra)
    assert {key: server.requests[0][key] for key in extra} == extra
    ask(endpoint, tmp_path)  # is another request
    assert len(server.requests) == 2
    (tmp_path / "answers.jsonl").unlink()
    server.script = refusing("top_k", forbidden("top_k"), 400)
    said = failure(endpoint, tmp_path, extra_body=extra)
    assert ": take top_k out of synthesize.endpoint.extra_body; then run" in said


def test_without_a_budget_a_cut_answer_is_asked_for_once(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    server.script = lambda request: {"content": "Yes. And the", "finish": "length"}
    assert ask(endpoint, tmp_path, max_tokens_field=None).cut
    assert len(server.requests) == 1


def test_requests_by_default_are_those_of_earlier_versions(
    server: ChatServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    """So that answers already paid for are found."""
    reply = ask(endpoint, tmp_path)
    request = {"model": "m", "messages": QUESTION, "temperature": 0.6, "max_tokens": 100, "seed": 0}
    assert server.requests == [request]
    assert reply.request_hash == fingerprint(request)
