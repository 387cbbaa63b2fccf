"""`thinkrec serve` as somebody starts it: a trained system behind it, and what stops it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hostile import asked_of_the_model, hostile, valid
from serving import running
from small_chain import Chain, write_params

import thinkrec
from thinkrec.errors import ConfigError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.recommender import Recommender
from thinkrec.serve.limits import BEST, CANDIDATES, HISTORY, TOLD, Limits
from thinkrec.serve.server import SHORTLIST, shortlist, trained
from thinkrec.systems.answers import Question
from thinkrec_cli.main import run

COMMAND = [sys.executable, "-m", "thinkrec_cli.main", "serve", "--dataset", "demo", "--port", "0"]
TOKEN = "a-token-of-this-process-5a3b"
CLOSE = 1e-4


@pytest.fixture(scope="module")
def root(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chain.copy(tmp_path_factory.mktemp("served")).root
    write_params(folder, chain.params)
    return folder


@pytest.fixture(scope="module", params=["thinkrec", "gsasrec_labels"])
def rec(root: Path, request: pytest.FixtureRequest) -> Recommender:
    return thinkrec.load(root, dataset="demo", system=request.param)


@pytest.fixture(scope="module")
def client(rec: Recommender, root: Path) -> Iterator[httpx.Client]:
    encoders = trained(Layout("demo", root))
    with running(rec, encoders=encoders) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def asked(rec: Recommender, count: int) -> list[tuple[dict[str, Any], Question]]:
    """Requests of users of the data set and of others, and the questions that they are."""
    items, users = list(rec.items), list(rec.users)
    found = []
    for k in range(count):
        if k % 2:
            user = users[k % len(users)]
            met = {item for item, _ in rec.history(user)}
            new = [item for item in items if item not in met][k % 5 : k % 5 + 6]
            found.append(({"user": user, "items": new}, Question(user, items=new)))
        else:
            history = [(items[(3 * k + j) % 50], (k + j) % 3 > 0) for j in range(k % 7)]
            new = [item for item in items if item not in dict(history)][k % 40 : k % 40 + 6]
            body = {"history": [{"item": item, "liked": liked} for item, liked in history], "items": new}
            found.append((body, Question(history=history, items=new)))
    return found


def test_answers_in_batches_are_those_of_the_library_one_by_one(rec, client):
    pairs = asked(rec, 40)
    alone = [rec.answer([question])[0] for _, question in pairs]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: client.post("/score", json=pair[0]).json(), pairs))
    for (body, _), answer, one in zip(pairs, found, alone, strict=True):
        assert [each["item"] for each in answer["items"]] == body["items"] == list(one.items)
        assert [each["title"] for each in answer["items"]] == list(one.titles)
        scores = [each["score"] for each in answer["items"]]
        assert scores == pytest.approx(one.scores.tolist(), abs=CLOSE)
        assert answer["basis"] == one.basis and answer["user"] == one.user
        if one.mixture is None:
            assert answer["mixture"] is None
        else:
            weights = [part["weight"] for part in answer["mixture"]]
            assert weights == pytest.approx(one.mixture.weights, abs=CLOSE)
    together = client.get("/metrics").text.split('thinkrec_batch_requests_bucket{le="1.0"} ')[1].split()[0]
    assert float(together) < 40


def test_rankings_and_explanations_are_those_of_the_library(rec, client):
    user = list(rec.users)[3]
    ranked = client.post("/recommend", json={"user": user, "k": 4, "candidates": "mf:12"}).json()
    expected = rec.recommend(user, 4, "mf:12")
    assert [each["item"] for each in ranked["items"]] == list(expected.items)
    history = [(item, k % 2 == 0) for k, item in enumerate(list(rec.items)[:6])]
    item = list(rec.items)[20]
    body = {"history": [{"item": rec.title(item), "liked": liked} for item, liked in history], "item": item}
    found = client.post("/explain", json=body).json()
    told = rec.explain_history(history, item)
    assert found["score"] == pytest.approx(told.score, abs=CLOSE) and found["reason"] == told.reason
    moved = {each["item"]: each["moved"] for each in found["history"]}
    assert moved == pytest.approx({each.item: each.moved for each in told.history}, abs=CLOSE)
    if rec.name == "thinkrec":
        why = client.post("/recommend", json={"user": user, "k": 2, "candidates": "mf:5", "why": True}).json()
        assert all(each["reason"] for each in why["items"])
    else:
        answer = client.post("/recommend", json={"user": user, "k": 2, "why": True})
        assert answer.status_code == 422 and "gives no reasons" in answer.json()["error"]


def test_unknown_items_are_answered_with_near_ids(client, rec):
    item = next(iter(rec.items))
    answer = client.post("/score", json={"history": [], "items": [item.upper()]})
    said = f"the data set has no item with the id or title {item.upper()!r}; did you mean {item!r}?"
    assert answer.json()["error"] == said


def test_candidates_come_from_an_encoder_that_reads_histories_if_there_is_one(root, tmp_path):
    assert shortlist(Layout("demo", root), "lightgcn") == "gsasrec_labels:50"
    lightgcn = Layout("demo", tmp_path).encoder("lightgcn")
    with pytest.raises(MissingInputError, match=r"lightgcn.* is not there yet: `thinkrec cf --dataset demo`"):
        shortlist(Layout("demo", tmp_path), "lightgcn")
    lightgcn.mkdir(parents=True)
    assert shortlist(Layout("demo", tmp_path), "lightgcn") == "lightgcn:50"
    assert trained(Layout("demo", root)) == ("mf", "lightgcn", "sasrec", "gsasrec_labels")


# ---- the process ----


@contextmanager
def process(root: Path, *more: str, token: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its address."""
    environment = os.environ | {"THINKREC_TOKEN": token}
    started = subprocess.Popen(
        [*COMMAND, *more],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        said = started.stdout.readline()
        assert " answers at http://" in said, started.communicate()[1]
        yield started, said.split()[-1]
    finally:
        if started.poll() is None:
            started.kill()
            started.wait(10)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_in_progress_and_ends_well(root, sign):
    with process(root, token=TOKEN) as (server, address):
        own = {"Authorization": f"Bearer {TOKEN}"}
        users = [f"u{k:04}" for k in range(1, 9)]
        answers: list[Any] = []

        def ask(user: str) -> None:
            body = {"user": user, "k": 3, "why": True}
            answers.append(httpx.post(f"{address}/recommend", json=body, headers=own, timeout=60))

        threads = [threading.Thread(target=ask, args=(user,)) for user in users]
        for each in threads:
            each.start()
        time.sleep(0.6)
        server.send_signal(sign)
        for each in threads:
            each.join(60)
        _, log = server.communicate(timeout=60)
        assert server.returncode == 0, log
        statuses = sorted(answer.status_code for answer in answers)
        assert len(statuses) == 8 and statuses == [200] * 8, statuses
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")
        lines = log.splitlines()
        assert len([line for line in lines if line.startswith("POST /recommend 200 ")]) == 8
        assert TOKEN not in log and "u0001" not in log and "Traceback" not in log


def test_memory_stays_flat_and_no_one_reads_anothers_answer(root):
    good = valid(thinkrec.load(root, dataset="demo", system="mf"))
    with process(root, "--system", "gsasrec_labels") as (server, address):
        memory = psutil.Process(server.pid)
        bodies = [{"user": f"u{k:04}", "k": 5} for k in range(1, 41)]
        with httpx.Client(base_url=address, timeout=60) as client:
            expected = [client.post("/recommend", json=body).json() for body in bodies]
            sizes, asked = [], len(bodies)
            for round_ in range(3):
                with ThreadPoolExecutor(8) as pool:
                    seeds = range(400 * round_, 400 * round_ + 400)
                    statuses = list(pool.map(lambda seed: hostile(address, seed, good), seeds))
                    answers = list(pool.map(lambda body: client.post("/recommend", json=body), bodies * 5))
                assert 500 not in statuses
                asked += len(answers)
                for one, answer in zip(expected * 5, answers, strict=True):
                    found = answer.json()
                    assert found["user"] == one["user"]
                    scores = [each["score"] for each in one["items"]]
                    assert [each["score"] for each in found["items"]] == pytest.approx(scores, abs=CLOSE)
                sizes.append(memory.memory_info().rss / 2**20)
            assert client.get("/health").status_code == 200
            assert asked_of_the_model(client.get("/metrics").text) - asked > 0.4 * 1200
        assert sizes[2] - sizes[1] < 15, sizes  # MB; the first round warms up


def test_what_it_cannot_start_with_is_one_sentence(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.delenv("THINKREC_TOKEN", raising=False)
    serve = ["serve", "--dataset", "demo", "--port", "0"]

    def says(*more: str) -> str:
        assert run([*serve, *more]) == 3
        text = capsys.readouterr().err
        assert text.count("\n") == 1 and text.startswith("error: ")
        return text

    assert "set the environment variable THINKREC_TOKEN" in says("--host", "0.0.0.0")
    assert "is not a name or address of this machine" in says("--host", "no.such.host.invalid")
    assert "no system is called 'thinkrek'" in says("--system", "thinkrek")
    with monkeypatch.context() as patch:  # said before anything is loaded
        patch.setattr("thinkrec.recommender.Recommender.__init__", None)
        assert "--from: no encoder 'gsasrec' was trained; trained are mf" in says("--from", "gsasrec:10")
        assert "--from: the count must be at least 1, not 0" in says("--from", "mf:0")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "choose another by --port" in says("--port", str(other.getsockname()[1]))
    monkeypatch.setenv("THINKREC_TOKEN", "two words of a secret")
    text = says()
    assert "THINKREC_TOKEN: use ASCII letters" in text and "secret" not in text
    monkeypatch.setenv("THINKREC_TOKEN", "short-secret")
    text = says()
    assert "THINKREC_TOKEN: use at least 16 characters" in text and "short-secret" not in text
    monkeypatch.setattr("thinkrec_cli.serve.find_spec", lambda name: None)
    assert "pip install 'thinkrec[serve]'" in says()


def test_another_address_of_this_machine_answers(root):
    with process(root, "--system", "mf", "--host", "127.0.0.2") as (_, address):
        assert address.startswith("http://127.0.0.2:")
        assert httpx.get(f"{address}/about").json()["system"] == "mf"
        assert httpx.get(f"{address}/about", headers={"Host": "films.example"}).status_code == 403


def test_a_token_lets_other_machines_ask(root):
    with process(root, "--system", "mf", "--host", "0.0.0.0", token=TOKEN) as (_, address):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(f"{address}/about").status_code == 401
        own = {"Authorization": f"Bearer {TOKEN}", "Host": "films.example"}
        assert httpx.get(f"{address}/about", headers=own).json()["candidates"] is None


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "answers at http://127.0.0.1:"),
        ("localhost", "answers at http://localhost:"),
        ("::1", "answers at http://[::1]:"),
        ("0.0.0.0", "listens on all addresses and answers at http://127.0.0.1:"),
        ("::", "listens on all addresses and answers at http://[::1]:"),
    ],
)
def test_the_printed_address_is_one_that_a_browser_opens(host, said):
    from thinkrec.serve.server import bound
    from thinkrec_cli.serve import reached

    try:
        taken = bound(host, 0, TOKEN)
    except ConfigError:
        pytest.skip(f"this machine has no {host}")
    with taken:
        assert reached(host, taken) == f"{said}{taken.getsockname()[1]}"


def test_the_commands_of_the_docs_work(root):
    """All but the one that opens the server to the network, which only has to be read."""
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.+?)^```$", text, re.M | re.S)
    starts = [command for command in commands if "thinkrec serve" in command]
    assert starts[0] == "thinkrec serve --dataset demo\n" and len(starts) == 2
    curls = [command for command in commands if command.startswith("curl ")]
    assert len(starts) + len(curls) == len(commands) and len(curls) == 5
    with process(root, token=TOKEN) as (_, address):
        for command in curls:
            here = command.replace("http://127.0.0.1:8000", address)
            if "Authorization" not in here:
                here = here.replace("curl -s", 'curl -s -H "Authorization: Bearer $THINKREC_TOKEN"')
            own = os.environ | {"THINKREC_TOKEN": TOKEN}
            found = subprocess.run(["bash", "-c", here], env=own, capture_output=True, text=True, check=True)
            assert "error" not in json.loads(found.stdout), found.stdout


def test_limits_in_the_docs_are_those_of_the_code():
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    limits = Limits()
    for said in (
        f"| {limits.body // 1024} KB; {limits.head // 1024} KB |",
        f"| {CANDIDATES:,}; {HISTORY} |",
        f"| {BEST}; {TOLD} |",
        f"| {limits.seconds:g} s |",
        f"| {limits.arrival:g} s |",
        f"| {limits.waiting}; {limits.slow} |",
        f"| {limits.connections} |",
        f"up to {limits.rows:,} items for a language model, up to {limits.light_rows:,} for other\n",
        f"after {limits.drain:g} seconds",
        f"these are {SHORTLIST} of an\n",
    ):
        assert said in text


def test_the_description_is_what_the_routes_do(client, rec):
    described = client.get("/openapi.json").json()
    json.dumps(described)
    schemas = described["components"]["schemas"]
    answer = client.post(
        "/recommend", json={"user": next(iter(rec.users)), "k": 1, "candidates": "mf:3"}
    ).json()
    assert set(answer) == set(schemas["ScoresAnswer"]["properties"])
    assert set(answer["items"][0]) == set(schemas["Scored"]["properties"])
