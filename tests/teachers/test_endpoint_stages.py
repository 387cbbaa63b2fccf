"""The two stages with an endpoint: interrupted, resumed, recorded."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chat_server import ChatServer

from thinkrec.config.sections import Endpoint, Prompt, Summarize, Synthesize
from thinkrec.errors import TeacherError
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize
from thinkrec.stages.synthesize import synthesize


def with_keywords(layout: Layout) -> None:
    summarize(layout, Summarize())


def test_a_broken_run_goes_on_where_it_was(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    with_keywords(layout)
    params = Synthesize(teacher="endpoint", endpoint=endpoint.model_copy(update={"retries": 0}), attempts=2)
    server.script = lambda request: 503 if len(server.requests) > 10 else "Yes. It fits."
    with pytest.raises(TeacherError, match=r"resumes from the 10 answers kept so far$"):
        synthesize(layout, params, Prompt(), "frozen", 3)
    assert not layout.rationales.exists()
    cache = layout.work("synthesize") / "answers.jsonl"
    cache.write_bytes(cache.read_bytes()[:-5])  # as if killed while it wrote

    server.requests.clear()
    server.script = lambda request: "Yes. It fits."
    facts = synthesize(layout, params, Prompt(), "frozen", 3)
    wrong = sum(row["label"] == 0 for row in pq.read_table(layout.rationales).to_pylist())
    asked = facts["train"]["asked"] + facts["test"]["asked"] + wrong
    assert len(server.requests) == asked - 9

    server.requests.clear()
    first = pq.read_table(layout.rationales)
    assert synthesize(layout, params, Prompt(), "frozen", 3) == facts
    assert server.requests == [] and pq.read_table(layout.rationales).equals(first)


def test_what_the_record_says(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    with_keywords(layout)
    server.script = lambda request: (
        "As you told me, no" if len(server.requests) == 1 else "Yes. I overlooked it."
    )
    options = Synthesize(teacher="endpoint", endpoint=endpoint, attempts=1)
    facts = synthesize(layout, options, Prompt(), "frozen", 3)
    assert facts["teacher"] == "endpoint:m"
    rows = pq.read_table(layout.rationales).to_pylist()
    train = [row for row in rows if row["split"] == "train"]
    likes = sum(row["label"] for row in train[1:])
    assert facts["train"]["asked"] == len(train) == 18
    assert facts["train"]["rejected"] == {
        "disagrees with the label": 17 - likes, "no verdict": 1, "revises an earlier answer": likes,
    }  # fmt: skip
    assert facts["train"]["unhinted_agreement"] == round(likes / 18, 4)
    assert facts["train"]["accepted"] == 0 and facts["train"]["mean_words"] is None
    assert not any(row["accepted"] or row["hinted"] for row in rows)
    assert {row["teacher"] for row in rows} == {"endpoint:m"}


def test_many_threads_give_the_same_file(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    with_keywords(layout)
    server.script = lambda request: "Yes. " + request["messages"][0]["content"][-200:].split('"')[1]
    one = Synthesize(teacher="endpoint", endpoint=endpoint)
    synthesize(layout, one, Prompt(), "frozen", 3)
    expected = pq.read_table(layout.rationales)
    (layout.work("synthesize") / "answers.jsonl").unlink()
    many = Synthesize(teacher="endpoint", endpoint=endpoint.model_copy(update={"concurrency": 8}))
    synthesize(layout, many, Prompt(), "frozen", 3)
    assert pq.read_table(layout.rationales).equals(expected)


def test_keywords_by_an_endpoint(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    server.script = lambda request: "space, robots" if "Film 1" in str(request) else ""
    facts = summarize(layout, Summarize(extractor="endpoint", endpoint=endpoint))
    assert facts["extractor"] == "endpoint:m" and facts["without_keywords"] == 5
    rows = pq.read_table(layout.keywords).to_pylist()
    assert rows[0] == {"item_id": 1, "keywords": ["space", "robots"], "source": "endpoint:m"}
    assert facts["warnings"] == [
        "5 of 6 items have no keyword from endpoint:m: the language model reads the title alone there"
    ]


QWEN = "(synthesize.endpoint.extra_body: {chat_template_kwargs: {enable_thinking: false}} with Qwen3)"
LESS = f"or let the model think less {QWEN}"


@pytest.mark.parametrize(
    ("said", "requests", "shared"),
    [
        (
            {"content": None, "reasoning_content": "Yes. Both are about space."}, 60,
            "all are empty while their thinking has 26 characters on average; configure the server's "
            f"reasoning parser, {LESS}",
        ),
        ("", 60, "all are empty; choose another synthesize.endpoint.model, or look into the server's log"),
        (
            "**Answer:** Yes.", None,
            "they begin with '**Answer:** Yes.', the first says '**Answer:** Yes.'; choose another "
            "synthesize.endpoint.model, or look into the server's log",
        ),
        (
            {"content": None, "refusal": "I'm sorry, I can't judge people."}, 60,
            "they begin with 'I'm sorry, I can't judge people.', the first says 'I'm sorry, I can't judge "
            "people.'; choose another synthesize.endpoint.model, or look into the server's log",
        ),
        (
            {"content": "Yes. The user liked the tar", "finish": "length", "reasoning_content": "Hm."}, 180,
            "all are cut off, they begin with 'Yes. The user liked the tar', the first says 'Yes. The user "
            f"liked the tar'; raise synthesize.endpoint.max_tokens_limit, {LESS}",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_teacher_that_says_nothing_usable_is_given_up(
    server: ChatServer,
    endpoint: Endpoint,
    layout: Layout,
    concurrency: int,
    said: Any,
    requests: int | None,
    shared: str,
) -> None:
    with_keywords(layout)
    server.script = lambda request: said
    params = Synthesize(
        teacher="endpoint", endpoint=endpoint.model_copy(update={"concurrency": concurrency}), attempts=3
    )
    with pytest.raises(TeacherError) as error:
        synthesize(layout, params, Prompt(), "frozen", 3)
    assert str(error.value) == (
        f"none of the first 20 answers says Yes or No and why: {shared}; then run the same command again "
        "(all answers so far are kept)"
    )
    assert not layout.rationales.exists()
    # Of 24 rows 20 were asked; a bare Yes that is right is not asked again.
    assert len(server.requests) == requests or (requests is None and 20 < len(server.requests) < 60)
    assert len((layout.work("synthesize") / "answers.jsonl").read_text().splitlines()) == len(server.requests)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_one_usable_answer_among_the_first_is_enough(
    server: ChatServer, endpoint: Endpoint, layout: Layout, concurrency: int
) -> None:
    """The twentieth in order decides, even where it comes after those that follow it."""
    with_keywords(layout)
    server.script = lambda request: "I can't say."
    params = Synthesize(
        teacher="endpoint", endpoint=endpoint.model_copy(update={"concurrency": concurrency}), attempts=1
    )
    with pytest.raises(TeacherError, match=r"they begin with 'I can't say\.'"):
        synthesize(layout, params, Prompt(), "frozen", 3)
    asked = [request["messages"] for request in server.requests]
    assert len(asked) == 20
    cache = layout.work("synthesize") / "answers.jsonl"
    cache.unlink()
    slow = asked[-1]

    def script(request: dict[str, Any]) -> Any:
        if request["messages"] != slow:
            return "I can't say."
        return lambda: time.sleep(0.3) or "Yes. Space again."

    server.script = script
    facts = synthesize(layout, params, Prompt(), "frozen", 3)
    assert sum(facts[split]["rejected"]["no verdict"] for split in ("train", "test")) == 23
    assert len(facts["warnings"]) == 2


@pytest.mark.parametrize(
    ("bad", "said", "warns"),
    [
        (1, "Hm.", False), (2, "Hm.", True),  # of 18 train rows
        (1, {"content": "Yes. It", "finish": "length"}, False),
        (2, {"content": "Yes. It", "finish": "length"}, True),
        (9, "No. As you told me.", False), (10, "No. As you told me.", True),
    ],
)  # fmt: skip
def test_from_which_share_on_the_stage_warns(
    server: ChatServer, endpoint: Endpoint, layout: Layout, caplog: pytest.LogCaptureFixture,
    bad: int, said: Any, warns: bool,
) -> None:  # fmt: skip
    table = pq.read_table(layout.interactions)
    ones = pa.array([1 if said != "No. As you told me." else 0] * len(table), pa.int64())
    pq.write_table(
        table.set_column(table.schema.get_field_index("label"), "label", ones), layout.interactions
    )
    with_keywords(layout)
    word = "Yes" if ones[0].as_py() else "No"
    server.script = lambda request: said if len(server.requests) <= bad else f"{word}. It fits."
    once = endpoint.model_copy(update={"max_tokens_limit": endpoint.max_tokens})
    options = Synthesize(teacher="endpoint", endpoint=once, attempts=1)
    facts = synthesize(layout, options, Prompt(), "frozen", 3)
    assert sum(facts["train"]["rejected"].values()) == bad
    reason = next(iter(facts["train"]["rejected"]))
    expected = (
        f"{bad} of 18 train rows have no rationale that can be used ({reason}: {bad}): try another "
        "synthesize.endpoint.model or more synthesize.attempts"
    )
    assert facts["warnings"] == ([expected] if warns else [])
    assert [text for text in caplog.messages if "rationale" in text] == facts["warnings"]


def test_an_extractor_that_names_nothing_is_given_up(
    server: ChatServer, endpoint: Endpoint, layout: Layout
) -> None:
    rows = [{"item_id": k, "raw_id": str(k), "title": f"Film {k}", "description": ""} for k in range(1, 101)]
    pq.write_table(pa.Table.from_pylist(rows), layout.items)
    params = Summarize(extractor="endpoint", endpoint=endpoint.model_copy(update={"concurrency": 8}))
    server.script = lambda request: {"content": "", "reasoning": "The film is"}
    with pytest.raises(
        TeacherError, match="none of the first 20 answers names a keyword: all are empty while"
    ):
        summarize(layout, params)
    assert len(server.requests) == 20 and not layout.keywords.exists()


def test_answers_in_parts_and_with_half_a_letter_become_rationales(
    server: ChatServer, endpoint: Endpoint, layout: Layout
) -> None:
    with_keywords(layout)
    parts = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes. They liked A\ud83d."}]
    server.script = lambda request: {"content": parts}
    options = Synthesize(teacher="endpoint", endpoint=endpoint, attempts=2)
    facts = synthesize(layout, options, Prompt(), "frozen", 3)
    rows = pq.read_table(layout.rationales).to_pylist()
    assert {row["rationale"] for row in rows} == {"Yes. They liked A?."}
    assert facts["train"]["accepted"] == sum(row["label"] for row in rows if row["split"] == "train") > 0
    assert {turn["content"] for request in server.requests for turn in request["messages"][1:2]} == {
        "Yes. They liked A?."
    }
