"""The HTTP interface: answers, bounds, tokens, time, load, and what it writes to its log."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from serving import TITLES, Slow, StandIn, running

from thinkrec.errors import ConfigError, ModelError
from thinkrec.serve.app import make_app
from thinkrec.serve.limits import CANDIDATES, HISTORY, NAME, Limits
from thinkrec.serve.service import Service
from thinkrec.systems.ids import Ids

TOKEN = "a-token-of-this-test-29f1"
HISTORY_OF_ONE = [{"item": "i1", "liked": True}]


@pytest.fixture(scope="module")
def rec() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def client(rec: StandIn) -> Iterator[httpx.Client]:
    with running(rec, encoders=["mf"]) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


def raw(address: str, sent: bytes, seconds: float = 10) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(sent)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


# ---- answers ----


def test_scores_are_in_the_order_of_the_items(client):
    answer = client.post(
        "/score", json={"history": HISTORY_OF_ONE, "items": ["i9", "Noon (2001)", "i2"]}
    ).json()
    assert [each["item"] for each in answer["items"]] == ["i9", "i12", "i2"]
    assert [each["title"] for each in answer["items"]] == [TITLES[8], TITLES[11], TITLES[1]]
    assert answer["items"][2]["score"] == pytest.approx(0.98)
    assert answer["user"] is None and answer["basis"] == "the history"
    assert answer["mixture"] == [
        {"part": "global LoRA", "weight": 0.25},
        {"part": "expert 1", "weight": 0.75},
    ]


def test_rankings_begin_with_the_best_and_titles_name_items(client):
    history = [{"item": "winter garden", "liked": True}, {"item": "Eclair of Winter", "liked": False}]
    answer = client.post("/recommend", json={"history": history, "k": 3}).json()
    scores = [each["score"] for each in answer["items"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert all(each["item"] not in ("i8", "i13") and each["reason"] is None for each in answer["items"])
    told = client.post("/recommend", json={"user": "u1", "k": 1, "why": True}).json()
    assert told["user"] == "u1" and told["items"][0]["reason"].startswith("Yes. It is ")
    among = client.post("/recommend", json={"user": "u1", "candidates": ["i8", "i3"]}).json()
    assert [each["item"] for each in among["items"]] == ["i3", "i8"]


def test_explanations_say_what_moved_the_score(client):
    history = [*HISTORY_OF_ONE, {"item": "i8", "liked": True}]
    answer = client.post("/explain", json={"history": history, "item": "i5"}).json()
    assert answer["reason"] == 'Yes. The user likes "i1".'
    assert [(each["item"], each["liked"], each["moved"]) for each in answer["history"]] == [
        ("i1", True, 1.0),
        ("i8", True, 0.0),
    ]


def test_items_users_and_histories_are_found(client):
    assert client.get("/items", params={"query": "STARS no"}).json()["items"] == [
        {"item": "i3", "title": TITLES[2]}
    ]
    assert len(client.get("/items", params={"k": 3}).json()["items"]) == 3
    assert client.get("/users", params={"query": "u"}).json() == {"users": ["u1", "u2"]}
    assert client.get("/history", params={"user": "u1"}).json()["history"] == [
        {"item": "i1", "title": TITLES[0], "liked": True},
        {"item": "i7", "title": TITLES[6], "liked": False},
    ]
    assert "no user 'u9'" in error(client.get("/history", params={"user": "u9"}), 422)


def test_it_says_what_it_is(client):
    about = client.get("/about").json()
    assert (about["system"], about["dataset"], about["items"], about["users"]) == ("thinkrec", "films", 14, 2)
    assert about["kind"] == "language model" and about["reasons"] is True
    assert client.get("/health").json() == {"status": "ok", "token": False}


def test_the_description_has_all_routes_bounds_and_examples(client):
    described = client.get("/openapi.json").json()
    routes = {
        "/score",
        "/recommend",
        "/explain",
        "/items",
        "/users",
        "/history",
        "/about",
        "/health",
        "/metrics",
    }
    assert set(described["paths"]) == routes
    schemas = described["components"]["schemas"]
    assert schemas["ScoreRequest"]["properties"]["items"]["maxItems"] == CANDIDATES
    assert schemas["ScoreRequest"]["properties"]["items"]["examples"]
    assert {"422", "503", "504"} <= set(described["paths"]["/score"]["post"]["responses"])
    for path in ("/docs", "/redoc"):  # they load scripts from elsewhere
        assert error(client.get(path), 404)


def test_metrics_count_requests_and_batches_by_what_is_known(client):
    client.post("/score", json={"history": [], "items": ["i3"]})
    client.get("/secret-path-of-somebody")
    client.request("BREW", "/score")
    text = client.get("/metrics").text
    assert 'thinkrec_requests_total{method="POST",route="/score",status="200"}' in text
    assert 'thinkrec_requests_total{method="GET",route="other",status="404"}' in text
    assert 'thinkrec_requests_total{method="other",route="/score",status="405"}' in text
    assert "thinkrec_queue_length 0.0" in text and "thinkrec_batch_requests_count" in text
    assert 'thinkrec_request_seconds_count{route="/score"}' in text
    assert "secret-path" not in text and "BREW" not in text


# ---- wrong requests ----

WRONG: list[tuple[str, Any, str]] = [
    ("/score", {"items": ["i2"]}, "give either user or history"),
    ("/score", {"user": "u1", "history": [], "items": ["i2"]}, "give either user or history"),
    ("/score", {"user": "u12", "items": ["i2"]}, "the data set has no user 'u12'; did you mean 'u1'?"),
    ("/score", {"user": "u1", "items": []}, "items: must have 1 or more items"),
    ("/score", {"user": "u1", "items": ["i2"] * (CANDIDATES + 1)}, f"at most {CANDIDATES} items"),
    ("/score", {"user": "u1", "items": ["x" * (NAME + 1)]}, f"items.0: must have at most {NAME} characters"),
    ("/score", {"user": "u1", "items": "i2"}, "items: must be a list"),
    ("/score", {"user": "u1", "items": [7]}, "no item with the id or title '7'"),
    ("/score", {"user": "u1", "items": [[7]]}, "items.0: must be text or a number"),
    ("/score", {"user": {"id": 9}, "items": ["i2"]}, "user: must be text or a number"),
    ("/score", {"user": ["u1"], "items": ["i2"]}, "user: must be text or a number"),
    ("/score", {"user": True, "items": ["i2"]}, "user: must be text or a number"),
    ("/score", {"user": 9, "items": ["i2"]}, "the data set has no user '9'"),
    ("/score", {"user": "", "items": ["i2"]}, "user: must not be empty"),
    ("/score", {"user": "U1", "items": ["i2"]}, "the data set has no user 'U1'; did you mean 'u1'?"),
    ("/score", {"user": "u1", "items": ["no such film"]}, "no item with the id or title 'no such film'"),
    ("/score", {"user": "u1", "items": ["i2"], "k": 1}, "k: there is no such key"),
    ("/score", {"history": [["i1", True]], "items": ["i2"]}, "history.0: must be an object"),
    ("/score", {"history": [{"item": "i1", "liked": "yes"}], "items": ["i2"]}, "liked: must be true or"),
    ("/score", {"history": HISTORY_OF_ONE * (HISTORY + 1), "items": ["i2"]}, f"at most {HISTORY} items"),
    ("/score", [], "the body must be an object"),
    ("/recommend", {"user": "u1", "k": 0}, "k: must be at least 1"),
    ("/recommend", {"user": "u1", "k": 101}, "k: must be at most 100"),
    ("/recommend", {"user": "u1", "k": 11, "why": True}, "k is 11: with why it is at most 10"),
    ("/recommend", {"user": "u1", "candidates": "sasrec:50"}, "no encoder 'sasrec' was trained"),
    ("/recommend", {"user": "u1", "k": True}, "k: must be a whole number"),
    ("/recommend", {"user": "u1", "k": "3"}, "k: must be a whole number"),
    ("/recommend", {"user": "u1", "candidates": "../x:50"}, "candidates: give a list of items, or"),
    ("/recommend", {"user": "u1", "candidates": "sasrec:" + "9" * 5000}, "no encoder 'sasrec' was trained"),
    ("/recommend", {"user": "u1", "candidates": "mf:" + "9" * 5000}, "candidates: too many; ask for at most"),
    ("/recommend", {"user": "u1", "candidates": "mf:999999"}, f"ask for at most {CANDIDATES}"),
    ("/recommend", {"user": "u1", "candidates": "mf:0"}, "candidates: the count must be at least 1, not 0"),
    ("/recommend", {"user": "u1", "candidates": "MF:5"}, "did you mean 'mf'?"),
    ("/recommend", {"user": "u1", "candidates": 5}, "candidates: give a list of items, or an encoder with a"),
    ("/recommend", {"user": "u1", "candidates": []}, "candidates: must have 1 or more items"),
    ("/recommend", {"user": "u1", "candidates": {}}, "candidates: give a list of items, or an"),
    ("/recommend", {"user": "u1", "candidates": ["i2", {}]}, "candidates.1: must be text or a number"),
    ("/explain", {"user": "u1"}, "item: this key is missing"),
    ("/explain", {"user": "u1", "item": "i99"}, "no item with the id or title 'i99'"),
]  # fmt: skip


@pytest.mark.parametrize(("route", "body", "said"), WRONG)
def test_what_is_wrong_is_said_in_one_sentence(client, route, body, said):
    found = error(client.post(route, json=body), 422)
    assert said in found and "\n" not in found and len(found) < 600
    assert not any(word in found for word in ("Input", "String", "List", "valid string", "JSON decode"))
    assert "[" not in found and "<" not in found and found.count("candidates") <= 1


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b"\xff\xfe{}", b"[" * 100_000, b'{"user": ' + b"9" * 6000 + b"}", b"NaN",
        b'{"user": "\\ud800", "items": ["i2"]}', b'{"user": "u1", "items": ["\\udfff"]}',
        b'{"user": "u\\u0000", "items": ["i2"]}',
    ],
)  # fmt: skip
def test_what_is_no_request_at_all_is_refused(client, body):
    answer = client.post("/score", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500 and answer.json()["error"]
    assert not any(word in answer.text for word in ("Input", "decode error", "it is missing"))


def test_an_empty_or_broken_body_is_named(client):
    for body, said in ((b"", "the body is missing"), (b"{", "the body is not valid JSON")):
        assert error(client.post("/score", content=body, headers=JSON), 422) == said


def test_other_methods_are_told_which_are_allowed(client):
    for method, path, allowed in (
        ("GET", "/score", "POST"),
        ("OPTIONS", "/recommend", "POST"),
        ("PUT", "/about", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/items", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("HEAD", "/score", "POST"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 405 and answer.headers["allow"] == allowed
        if method != "HEAD":
            assert error(answer, 405) == "method not allowed: /openapi.json describes the routes"
    assert error(client.post("/nowhere"), 404)


def test_unknown_keys_of_a_query_are_refused(client):
    for path in ("/items?query=a&zzz=1", "/users?zzz=1", "/history?user=u1&zzz=1"):
        assert error(client.get(path), 422) == "zzz: there is no such key"
    assert error(client.get("/history"), 422) == "user: this key is missing"
    assert error(client.get("/items?k=x"), 422) == "k: must be a whole number"
    assert error(client.get("/items?%3Cb%3E=1&=2"), 422).startswith("<b>: there is no such key")


@pytest.mark.parametrize("number", ["NaN", "1e400", "-Infinity"])
def test_numbers_that_are_not_finite_are_no_ids(client, number):
    for body, key in (
        ('{"user": %s, "items": ["i2"]}', "user"),
        ('{"user": "u1", "items": [%s]}', "items.0"),
        ('{"history": [{"item": %s, "liked": true}], "items": ["i2"]}', "history.0.item"),
    ):
        answer = client.post("/score", content=body % number, headers=JSON)
        assert error(answer, 422) == f"{key}: must be text or a finite number"


def test_ids_may_be_numbers_or_have_spaces_at_their_ends():
    rec = StandIn()
    rec.users = Ids(["", "1", "u2"], "user")
    rec.histories = {"1": [("i1", True)]}
    with running(rec) as address, httpx.Client(base_url=address, timeout=30) as client:
        for user in (1, 1.0, "1 ", "1.0"):
            answer = client.post("/score", json={"user": user, "items": ["i2"]}).json()
            assert (answer["user"], answer["items"][0]["item"]) == ("1", "i2")
        assert client.get("/history", params={"user": " 1"}).json()["user"] == "1"


def test_names_of_the_kind_of_a_body_are_in_any_case(client):
    body = b'{"user": "u1", "items": ["i2"]}'
    for kind in ("Application/JSON", "application/json; charset=utf-8", "APPLICATION/json ;x=y"):
        assert client.post("/score", content=body, headers={"Content-Type": kind}).status_code == 200


def test_head_says_what_get_would(client):
    for path in ("/", "/page.js", "/health", "/about", "/items?query=stars", "/nope"):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code and head.content == b""
        assert head.headers["content-length"] == str(len(got.content))
    assert client.head("/score").status_code == 405
    text = client.get("/metrics").text
    assert 'thinkrec_requests_total{method="HEAD",route="/",status="200"}' in text


def test_other_kinds_routes_and_methods_are_refused(client):
    text = error(client.post("/score", content=b"{}", headers={"Content-Type": "text/plain"}), 415)
    assert "Content-Type: application/json" in text
    assert "method not allowed" in error(client.get("/score"), 405)
    assert "not found" in error(client.get("/../params.yaml"), 404)
    assert "not found" in error(client.get("/%2e%2e/params.yaml"), 404)
    assert error(client.get("/items", params={"k": 51}), 422).startswith("k: ")


def test_large_bodies_are_refused_whether_or_not_they_say_their_length(client, rec):
    most = Limits().body
    seen = len(rec.batches)
    assert "more than 262,144 bytes" in error(
        client.post("/score", content=b" " * (most + 1), headers=JSON), 413
    )
    chunks = (b" " * 1000 for _ in range(300))
    long = iter([b" " * 10_000] * 10_000)
    with suppress(httpx.TransportError):
        assert error(client.post("/score", content=long, headers=JSON), 413)
    assert len(list(long)) > 5000  # it does not read on forever
    assert "more than 262,144 bytes" in error(client.post("/score", content=chunks, headers=JSON), 413)
    address = str(client.base_url)
    said = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    assert raw(address, said + b"9" * 17 + b"\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert raw(address, said + b"9" * 5000 + b"\r\n\r\n").startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    assert len(rec.batches) == seen


JSON = {"Content-Type": "application/json"}


def test_long_headers_and_addresses_are_refused(client):
    for sent in (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000):
        answer = raw(str(client.base_url), sent)
        assert answer.startswith(b"HTTP/1.1 400") and b'{"error": "this is not an HTTP request' in answer
        assert b"x-content-type-options: nosniff" in answer


def test_connections_on_which_nothing_arrives_are_closed(rec):
    with running(rec, Limits(arrival=0.3)) as address:
        assert raw(address, b"") == b""
        assert raw(address, b"GET /health HT") == b""
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert b"did not arrive within 0.3 s" in raw(address, head + b"Content-Length: 10\r\n\r\n{")
        with httpx.Client(base_url=address) as client:  # who asks slowly on one connection is no attacker
            for _ in range(3):
                assert client.get("/health").status_code == 200
                time.sleep(0.2)
        assert httpx.get(f"{address}/health").status_code == 200


def test_a_connection_too_many_is_refused_at_once_and_the_others_stay(rec):
    with running(rec, Limits(connections=3)) as address:
        host, port = address.removeprefix("http://").split(":")
        for _ in range(20):
            idle = [socket.create_connection((host, int(port))) for _ in range(2)]
            with httpx.Client(base_url=address) as third:
                until(lambda: third.get("/health").status_code == 200)
                answer = httpx.get(f"{address}/health")
                assert "3 connections are open already" in error(answer, 503)
                assert answer.headers["retry-after"] == "1" and answer.headers["connection"] == "close"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert third.get("/health").status_code == 200
            for each in idle:
                each.close()


# ---- who may ask ----


def test_without_a_token_only_this_machine_is_answered(client):
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "localhost:8000"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    for host in (
        "films.example",
        "127.0.0.1.films.example",
        "localhost.films.example:80",
        "",
        "[::",
        "films.example@127.0.0.1",
        "127.0.0.1/films",
        "127.0.0.1?films",
        "127.0.0.1#films",
        "127.0.0.2",
    ):
        assert "only this machine" in error(client.get("/about", headers={"Host": host}), 403)
    own = str(client.base_url)
    body = {"user": "u1", "k": 1}
    assert client.post("/recommend", json=body, headers={"Origin": own}).status_code == 200
    for origin in (
        "https://films.example",
        "null",
        "http://localhost:1",
        "http://[",
        own.replace("http", "ftp:"),
    ):
        assert error(client.post("/recommend", json=body, headers={"Origin": origin}), 403)


def test_the_host_that_it_answers_as_is_known(rec):
    for host in ("127.0.0.2", "Films.local"):
        service = Service(rec, Limits(), None, ())  # type: ignore[arg-type]
        app = TestClient(make_app(service, None, host), base_url=f"http://{host}:8000")
        assert app.get("/about", headers={"Origin": f"http://{host.lower()}:8000"}).status_code == 200
        assert app.get("/about", headers={"Host": "127.0.0.1"}).status_code == 200
        assert app.get("/about", headers={"Host": "127.0.0.3"}).status_code == 403
        assert service.worker.stop(10)


def test_a_token_is_needed_for_all_but_health_and_the_page(rec):
    with running(rec, token=TOKEN) as address, httpx.Client(base_url=address) as client:
        assert client.get("/health").json() == {"status": "ok", "token": True}
        for path in ("/", "/page.js", "/page.css", "/icon.svg"):
            assert client.get(path).status_code == 200
        wrong = (
            "",
            "Bearer",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            TOKEN,
            "Bearer \xe9",
        )
        for path in ("/about", "/items", "/users", "/history?user=u1", "/metrics", "/openapi.json", "/nope"):
            for header in wrong:
                answer = client.get(path, headers={"Authorization": header.encode("latin-1")})
                assert "a token is needed" in error(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert error(client.post("/score", json={"user": "u1", "items": ["i2"]}), 401)
        own = {"Authorization": f"Bearer {TOKEN}", "Host": "films.example", "Origin": "https://films.example"}
        assert client.post("/score", json={"user": "u1", "items": ["i2"]}, headers=own).status_code == 200
        assert client.get("/about", headers=own | {"Authorization": f"bearer  {TOKEN}"}).status_code == 200


def test_browsers_are_told_to_load_nothing_from_elsewhere(client):
    for path in ("/", "/page.js", "/about", "/nope"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers and "server" not in headers
    assert client.get("/about").headers["cache-control"] == "no-store"
    page = client.get("/page.js")
    again = client.get("/page.js", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


# ---- time and load ----


def until(done: Any) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_late_answers_are_given_up_and_leave_the_queue():
    rec = StandIn()
    with running(rec, Limits(seconds=0.5)) as address, httpx.Client(base_url=address) as client:
        rec.go.clear()
        with ThreadPoolExecutor(4) as pool:
            asked = []
            for k in range(2, 6):
                asked.append(pool.submit(client.post, "/score", json={"history": [], "items": [f"i{k}"]}))
                until(lambda: rec.begun)  # the first is taken before the others come
            for each in asked:
                assert "no answer within 0.5 s" in error(each.result(), 504)
        assert "thinkrec_queue_length 0.0" in client.get("/metrics").text
        rec.go.set()
        answer = client.post("/score", json={"history": [], "items": ["i9"]}).json()
        assert answer["items"][0]["item"] == "i9"
        first, last = rec.batches  # what waited behind the first batch was dropped
        assert [question.items for question in first] == [["i2"]]
        assert [question.items for question in last] == [["i9"]]


def test_a_full_queue_says_when_to_come_back():
    rec = StandIn()
    with running(rec, Limits(slow=2)) as address, httpx.Client(base_url=address) as client:
        rec.go.clear()
        body = {"history": [], "items": ["i2"]}
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(client.post, "/score", json=body)
            until(lambda: rec.begun)
            waiting = [
                pool.submit(client.post, "/explain", json={"user": "u1", "item": "i2"}) for _ in range(2)
            ]
            until(lambda: "thinkrec_queue_length 2.0" in client.get("/metrics").text)
            answer = client.post("/explain", json={"user": "u1", "item": "i2"})
            assert "2 requests of this kind wait already" in error(answer, 503)
            assert answer.headers["retry-after"] == "1"
            assert client.get("/health").status_code == 200
            rec.go.set()
            assert all(each.result().status_code == 200 for each in (first, *waiting))
            assert client.post("/score", json=body).status_code == 200


def test_names_that_are_unknown_never_wait_for_the_model():
    rec = StandIn()
    with running(rec) as address, httpx.Client(base_url=address, timeout=5) as client:
        rec.go.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.post, "/score", json={"user": "u1", "items": ["i2"]})
            until(lambda: rec.begun)
            for route, more in (
                ("/score", {"items": ["i2"]}),
                ("/recommend", {}),
                ("/explain", {"item": "i2"}),
            ):
                answer = httpx.post(f"{address}{route}", json={"user": "u9", **more}, timeout=5)
                assert "no user 'u9'" in error(answer, 422)
            rec.go.set()
            assert first.result().status_code == 200
        assert [question.user for batch in rec.batches for question in batch] == ["u1"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_health_fails_when_the_thread_that_asks_the_model_ended():
    class Ends(StandIn):
        def answer(self, questions):  # type: ignore[no-untyped-def]
            raise SystemExit

    with running(Ends()) as address:
        assert httpx.get(f"{address}/health").status_code == 200
        assert error(httpx.post(f"{address}/score", json={"user": "u1", "items": ["i2"]}), 503)
        until(lambda: httpx.get(f"{address}/health").status_code == 503)
        assert "start the server again" in error(httpx.get(f"{address}/health"), 503)


def test_who_leaves_is_not_answered():
    rec = StandIn()
    with running(rec) as address, httpx.Client(base_url=address) as client:
        rec.go.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.post, "/score", json={"history": [], "items": ["i2"]})
            until(lambda: rec.begun)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{address}/score", json={"history": [], "items": ["i3"]}, timeout=0.3)
            until(lambda: 'route="/score",status="499"' in client.get("/metrics").text)
            rec.go.set()
            assert first.result().status_code == 200
        assert [question.items for batch in rec.batches for question in batch] == [["i2"]]


@pytest.mark.parametrize(("limit", "patience"), [(120, 0.3), (0.3, 10)])
def test_work_ends_for_who_leaves_and_for_who_waited_too_long(limit: float, patience: float):
    rec = Slow()
    with running(rec, Limits(seconds=limit)) as address, httpx.Client(base_url=address) as client:
        try:
            late = client.post("/score", json={"history": [], "items": ["i3"]}, timeout=patience)
            assert "no answer within 0.3 s" in error(late, 504)
        except httpx.ReadTimeout:
            assert limit == 120
        until(lambda: rec.ended == 1)
        assert client.post("/score", json={"history": [], "items": ["i2"]}).status_code == 200


def test_concurrent_requests_are_batched_and_get_their_own_answers(client, rec):
    def ask(k: int) -> tuple[int, dict[str, Any]]:
        item = f"i{k % 13 + 1}"
        liked = {"item": f"i{(k + 5) % 13 + 1}", "liked": k % 2 == 0}
        return k, client.post("/score", json={"history": [liked], "items": [item]}).json()

    rec.batches.clear()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(300)))
    for k, answer in answers:
        item, other = f"i{k % 13 + 1}", f"i{(k + 5) % 13 + 1}"
        assert answer["items"][0]["item"] == item
        assert answer["items"][0]["score"] == pytest.approx(rec._score([(other, k % 2 == 0)], item), abs=1e-5)
    assert sum(map(len, rec.batches)) == 300 and max(map(len, rec.batches)) > 1


# ---- what is written down ----


def test_the_log_has_one_line_a_request_and_nothing_of_it(caplog):
    rec = StandIn()
    rec.error = ModelError("it quotes MARKER-7")
    caplog.set_level(logging.DEBUG)
    with running(rec, token=TOKEN) as address:
        own = {"Authorization": f"Bearer {TOKEN}"}
        httpx.get(f"{address}/items?query=MARKER-1", headers=own)
        httpx.get(f"{address}/MARKER-2", headers=own)
        httpx.get(f"{address}/about", headers={"Authorization": "Bearer MARKER-3"})
        httpx.post(f"{address}/score", json={"user": "MARKER-4", "items": ["i2"]}, headers=own)
        answer = httpx.post(f"{address}/score", json={"user": "u1", "items": ["MARKER-5"]}, headers=own)
        assert "MARKER-5" in error(answer, 422)
        answer = httpx.post(f"{address}/score", json={"user": "u1", "items": ["i2"]}, headers=own)
        assert error(answer, 500) == "the server failed; its log says where"
        raw(address, b"MARKER-8\r\n\r\n")
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    lines = [record.getMessage() for record in ours]
    own_lines = [line for line in lines if line.split()[0] in ("GET", "POST") and line.endswith(" ms")]
    assert [line.split()[:3] for line in own_lines] == [
        ["GET", "/items", "200"], ["GET", "other", "404"], ["GET", "/about", "401"],
        ["POST", "/score", "422"], ["POST", "/score", "422"], ["POST", "/score", "500"],
    ]  # fmt: skip
    written = [line + str(record.exc_info) for line, record in zip(lines, ours, strict=True)]
    assert not [line for line in written if "MARKER" in line or TOKEN in line]
    assert any("ModelError at " in line for line in lines)


# ---- hostile requests in numbers ----


def test_hundreds_of_hostile_requests_change_nothing_for_others():
    from hostile import asked_of_the_model, hostile, valid

    rec, body, count = StandIn(), {"user": "u1", "items": ["i2", "i3"]}, 600
    rec.answer = lambda questions: (time.sleep(0.002), StandIn.answer(rec, questions))[1]  # type: ignore
    with running(rec) as address, httpx.Client(base_url=address, timeout=30) as client:
        expected = client.post("/score", json=body).json()
        stop = threading.Event()
        honest: list[bool] = []

        def ask() -> None:
            with httpx.Client(base_url=address, timeout=30) as own:
                while not stop.is_set():
                    honest.append(own.post("/score", json=body).json() == expected)

        others = [threading.Thread(target=ask) for _ in range(2)]
        for each in others:
            each.start()
        good = valid(rec)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda seed: hostile(address, seed, good), range(count)))
        stop.set()
        for each in others:
            each.join(60)
        assert honest and all(honest)
        assert 500 not in statuses and {200, 400, 403, 405, 415, 422} <= set(statuses), set(statuses)
        reached = asked_of_the_model(client.get("/metrics").text) - len(honest) - 1
        assert reached > 0.4 * count, reached
        assert client.get("/health").status_code == 200
        assert client.post("/score", json=body).json() == expected
        for route, asked in good:
            assert client.post(route, json=asked).status_code == 200
        assert "thinkrec_queue_length 0.0" in client.get("/metrics").text


def test_a_default_that_names_no_trained_encoder_is_refused():
    for given, said in (
        ("lightgcn", "'lightgcn' is not an encoder with a count, such as lightgcn:200; encoders are mf,"),
        ("lightgcn:5000", "too many; ask for at most 1000"),
        ("sasrec:50", "no encoder 'sasrec' was trained; trained are lightgcn"),
        ("lightgcn:0", "the count must be at least 1, not 0"),
        ("LightGCN:20", "did you mean 'lightgcn'?"),
        ("x", "'x' is not an encoder with a count"),
    ):
        with pytest.raises(ConfigError, match=rf"^--from: .*{re.escape(said)}"):
            Service(StandIn(), Limits(), given, ["lightgcn"])  # type: ignore[arg-type]


def test_a_request_that_breaks_off_in_the_middle_leaves_no_traceback(client, caplog):
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for rest in (
        b"Transfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ):
        for kind in (b"Host: evil.example\r\n", b"Host: localhost\r\n"):
            raw(str(client.base_url), head.replace(b"Host: localhost\r\n", kind) + rest + b"\r\n\r\nGET")
    assert client.get("/health").status_code == 200
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]
