"""The two stages with an endpoint: interrupted, resumed, recorded."""

from __future__ import annotations

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
    with pytest.raises(TeacherError, match=r"goes on from the 10 answers kept so far$"):
        synthesize(layout, params, Prompt(), 3)
    assert not layout.rationales.exists()
    cache = layout.work("synthesize") / "answers.jsonl"
    cache.write_bytes(cache.read_bytes()[:-5])  # as if killed while it wrote

    server.requests.clear()
    server.script = lambda request: "Yes. It fits."
    facts = synthesize(layout, params, Prompt(), 3)
    wrong = sum(row["label"] == 0 for row in pq.read_table(layout.rationales).to_pylist())
    asked = facts["train"]["asked"] + facts["test"]["asked"] + wrong
    assert len(server.requests) == asked - 9

    server.requests.clear()
    first = pq.read_table(layout.rationales)
    assert synthesize(layout, params, Prompt(), 3) == facts
    assert server.requests == [] and pq.read_table(layout.rationales).equals(first)


def test_what_the_record_says(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    with_keywords(layout)
    server.script = lambda request: (
        "As you told me, no" if len(server.requests) == 1 else "Yes. I overlooked it."
    )
    facts = synthesize(layout, Synthesize(teacher="endpoint", endpoint=endpoint, attempts=1), Prompt(), 3)
    assert facts["teacher"] == "endpoint:m"
    rows = pq.read_table(layout.rationales).to_pylist()
    train = [row for row in rows if row["split"] == "train"]
    likes = sum(row["label"] for row in train[1:])
    assert facts["train"]["asked"] == len(train) == 18
    assert facts["train"]["rejected"] == {
        "disagrees with the truth": 17 - likes, "no verdict": 1, "revises an earlier answer": likes,
    }  # fmt: skip
    assert facts["train"]["unhinted_agreement"] == round(likes / 18, 4)
    assert facts["train"]["accepted"] == 0 and facts["train"]["mean_words"] is None
    assert not any(row["accepted"] or row["hinted"] for row in rows)
    assert {row["teacher"] for row in rows} == {"endpoint:m"}


def test_many_threads_give_the_same_file(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    with_keywords(layout)
    server.script = lambda request: "Yes. " + request["messages"][0]["content"][-200:].split('"')[1]
    one = Synthesize(teacher="endpoint", endpoint=endpoint)
    synthesize(layout, one, Prompt(), 3)
    expected = pq.read_table(layout.rationales)
    (layout.work("synthesize") / "answers.jsonl").unlink()
    many = Synthesize(teacher="endpoint", endpoint=endpoint.model_copy(update={"concurrency": 8}))
    synthesize(layout, many, Prompt(), 3)
    assert pq.read_table(layout.rationales).equals(expected)


def test_keywords_by_an_endpoint(server: ChatServer, endpoint: Endpoint, layout: Layout) -> None:
    server.script = lambda request: "space, robots" if "Film 1" in str(request) else ""
    facts = summarize(layout, Summarize(extractor="endpoint", endpoint=endpoint))
    assert facts["extractor"] == "endpoint:m" and facts["without_keywords"] == 5
    rows = pq.read_table(layout.keywords).to_pylist()
    assert rows[0] == {"item_id": 1, "keywords": ["space", "robots"], "source": "endpoint:m"}
