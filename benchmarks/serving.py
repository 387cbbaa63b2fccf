"""Measure `thinkrec serve` under load: requests a second, latency, and what hostile requests do to it.

    python benchmarks/serving.py PROJECT --dataset NAME [--system NAME ...] [--requests N] [--hostile N]

For each system 16 clients ask for scores of 20 candidates each, half of them for users of the data set, half
for histories of 10 interactions; from all but language models also for the best 10 of all items. The same
requests go to the server as it is, to the same server with batches of one request (one by one), and, without
HTTP, to the recommender in a loop. Server and clients are processes of their own on this machine. Answers in
batches must be those of the loop, up to 1e-4.

Then hostile requests (`hostile.py`) go to the first system, while honest clients check that their answers
stay the same; the server's memory is read after each tenth. Enough of them must reach the model, and the
server must answer right when they are over. Prints Markdown and the load of the machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from hostile import asked_of_the_model, hostile, valid

CLIENTS, CANDIDATES, HISTORY, CLOSE, SEED = 16, 20, 10, 1e-4, 7
PATIENCE = 900.0
BEST = 10
"""Items of a ranking."""
REACHED = 0.4
"""Share of hostile requests that the model has to answer: the others are refused before."""
HONEST = 2
"""Clients that go on asking while hostile requests arrive."""
Body = dict[str, Any]


def serve(root: Path, dataset: str, system: str, batched: bool, says: Connection) -> None:
    """Serve a system on a free port and say its address; a process of its own."""
    import thinkrec
    from thinkrec.layout import Layout
    from thinkrec.serve.limits import Limits
    from thinkrec.serve.server import bound, serve, trained
    from thinkrec.serve.service import Service

    limits = replace(Limits(), seconds=PATIENCE)  # one by one, a language model on a CPU needs it
    if not batched:
        limits = replace(limits, rows=1, light_rows=1)
    taken = bound("127.0.0.1", 0, None)
    rec = thinkrec.load(root, dataset=dataset, system=system)
    service = Service(rec, limits, None, trained(Layout(dataset, root)))
    serve(service, taken, None, lambda: says.send(taken.getsockname()[1]))


@contextmanager
def server(root: Path, dataset: str, system: str, batched: bool) -> Iterator[tuple[int, int]]:
    """Run a server in a process of its own; gives its port and process id."""
    context = multiprocessing.get_context("spawn")
    hears, says = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(root, dataset, system, batched, says))
    process.start()
    assert process.pid is not None
    yield hears.recv(), process.pid
    process.terminate()
    process.join(60)
    if process.exitcode != 0:
        raise SystemExit(f"the server ended with {process.exitcode}")


def requests(root: Path, dataset: str, count: int) -> list[Body]:
    """Draw requests: users of the data set and histories in turn, with candidates that are new to them."""
    import thinkrec

    rec = thinkrec.load(root, dataset=dataset, system="popularity")
    rng = random.Random(SEED)
    items, users = list(rec.items), list(rec.users)
    bodies: list[Body] = []
    for k in range(count):
        if k % 2:
            user = rng.choice(users)
            met, who = {item for item, _ in rec.history(user)}, {"user": user}
        else:
            drawn = rng.sample(items, HISTORY)
            met, who = set(drawn), {"history": [{"item": x, "liked": rng.random() < 0.6} for x in drawn]}
        new = rng.sample([item for item in items if item not in met], CANDIDATES)
        bodies.append({**who, "items": new})
    return bodies


def rankings(bodies: list[Body]) -> list[Body]:
    """The same users and histories, whose best items are asked for."""
    return [{key: body[key] for key in ("user", "history") if key in body} | {"k": BEST} for body in bodies]


def route_of(body: Body) -> str:
    """Name the route that answers."""
    return "/recommend" if "k" in body else "/score"


def ask(port: int, bodies: list[Body]) -> tuple[list[dict[str, Any]], list[float]]:
    """Ask on one connection; gives answers and seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    answers, seconds = [], []
    for body in bodies:
        start = time.perf_counter()
        connection.request("POST", route_of(body), json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - start)
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {content.decode()[:300]}")
        answers.append(json.loads(content))
    connection.close()
    return answers, seconds


def get(port: int, path: str) -> str:
    """Read a page.

    Raises:
        URLError: its status is an error.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def loaded(port: int, bodies: list[Body]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Ask by all clients at once; gives answers, in the order of the bodies, and figures."""
    ask(port, bodies[:4])  # the first answers load what is read when it is wanted
    shares = [bodies[k::CLIENTS] for k in range(CLIENTS)]
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(ask, [port] * CLIENTS, shares))
    whole = time.perf_counter() - start
    answers: list[dict[str, Any]] = [{}] * len(bodies)
    for k, (own, _) in enumerate(found):
        answers[k::CLIENTS] = own
    seconds = np.concatenate([own for _, own in found])
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    return answers, {"a second": len(bodies) / whole, "p50 ms": p50, "p99 ms": p99}


def loop(root: Path, dataset: str, system: str, bodies: list[Body]) -> tuple[list[list[float]], float]:
    """Ask in a loop, without a server; gives scores and requests a second."""
    import thinkrec
    from thinkrec.errors import RequestError
    from thinkrec.systems.answers import Question

    rec = thinkrec.load(root, dataset=dataset, system=system)

    def score(body: Body) -> list[float]:
        history = None
        if "history" in body:
            history = [(each["item"], each["liked"]) for each in body["history"]]
        (answer,) = rec.answer([Question(body.get("user"), history, body.get("items"), body.get("k"))])
        if isinstance(answer, RequestError):
            raise answer
        return answer.scores.tolist()

    score(bodies[0])
    start = time.perf_counter()
    scores = [score(body) for body in bodies]
    return scores, len(bodies) / (time.perf_counter() - start)


def attacked(root: Path, dataset: str, system: str, bodies: list[Body], count: int) -> None:
    """Send hostile requests beside honest ones, and print what came of it."""
    import thinkrec

    good = valid(thinkrec.load(root, dataset=dataset, system="popularity"))
    with server(root, dataset, system, batched=True) as (port, pid):
        expected, _ = ask(port, bodies)
        memory, stop, differ, honest = psutil.Process(pid), threading.Event(), [], [0] * HONEST

        def check(own: int) -> None:
            while not stop.is_set():
                for answer, right in zip(ask(port, bodies)[0], expected, strict=True):
                    honest[own] += 1
                    if (
                        not same(answer, [each["score"] for each in right["items"]])
                        or answer["user"] != right["user"]
                    ):
                        differ.append(answer)

        threads = [threading.Thread(target=check, args=(k,)) for k in range(HONEST)]
        for each in threads:
            each.start()
        statuses: list[int | None] = []
        sizes, start = [], time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for tenth in np.array_split(np.arange(count), 10):
                statuses += pool.map(lambda seed: hostile(f"http://127.0.0.1:{port}", int(seed), good), tenth)
                sizes.append(memory.memory_info().rss / 2**20)
        seconds = time.perf_counter() - start
        stop.set()
        for each in threads:
            each.join()
        last, _ = ask(port, bodies)
        right = all(
            same(answer, [each["score"] for each in one["items"]])
            for answer, one in zip(last, expected, strict=True)
        )
        health, metrics = get(port, "/health"), get(port, "/metrics")
    reached = asked_of_the_model(metrics) - sum(honest) - 2 * len(bodies)
    counted = {str(status): statuses.count(status) for status in sorted(set(statuses), key=str)}
    print(f"\n{count:,} hostile requests to {system} in {seconds:.0f} s; answered by status: {counted}")
    print(f"{sum(honest):,} honest answers in between, {len(differ)} of them wrong")
    print(f"memory after each tenth, MB: {', '.join(f'{size:.0f}' for size in sizes)}")
    print(f"{reached:,} hostile requests were answered by the model; afterwards /health says {health}")
    if differ or not right or 500 in statuses:
        raise SystemExit("an answer was wrong, or the server failed")
    if reached < REACHED * count:
        raise SystemExit(f"less than {REACHED:.0%} of the hostile requests reached the model")


def same(answer: dict[str, Any], scores: list[float]) -> bool:
    """Say whether scores are the expected ones, up to rounding."""
    return bool(np.allclose([each["score"] for each in answer["items"]], scores, rtol=0, atol=CLOSE))


def compare(root: Path, dataset: str, system: str, bodies: list[Body]) -> None:
    """Ask one by one, in batches and without a server; prints a row for each."""
    scores, alone = loop(root, dataset, system, bodies)
    rows: dict[str, dict[str, float]] = {}
    for how, batched in (("one by one", False), ("batched", True)):
        with server(root, dataset, system, batched) as (port, _):
            answers, rows[how] = loaded(port, bodies)
        if not all(map(same, answers, scores)):
            raise SystemExit(f"{system}, {how}: answers differ from those of the loop")
    base, what = rows["one by one"]["a second"], f"{system} | {route_of(bodies[0])}"
    for how, row in rows.items():
        rate, late = row["a second"], f"{row['p50 ms']:.1f} | {row['p99 ms']:.1f}"
        print(f"| {what} | {how} | {rate:.1f} | {rate / base:.2f} | {late} |")
    print(f"| {what} | loop without HTTP | {alone:.1f} | {alone / base:.2f} | | |", flush=True)


def main() -> None:
    """Measure each system, then attack the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument(
        "--system", action="append", help="may come several times; default gsasrec_labels, thinkrec"
    )
    parser.add_argument(
        "--requests", type=int, default=2000, help="of each run; a tenth for a language model"
    )
    parser.add_argument("--hostile", type=int, default=10_000)
    given = parser.parse_args()
    systems = given.system or ["gsasrec_labels", "thinkrec"]
    from thinkrec.systems.registry import SYSTEMS

    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(
        f"{os.cpu_count()} cores, load before {load}; {CLIENTS} clients, {CANDIDATES} candidates a request\n"
    )
    print(
        "| system | route | how | requests a second | times one by one | p50 ms | p99 ms |\n"
        "|---|---|---|---|---|---|---|"
    )
    every = requests(given.project, given.dataset, given.requests)
    for system in systems:
        words = SYSTEMS[system].kind == "language model"
        scored = every[: len(every) // 10] if words else every
        for bodies in [scored] if words else [scored, rankings(scored)]:
            compare(given.project, given.dataset, system, bodies)
    if given.hostile:
        attacked(given.project, given.dataset, systems[0], every[:50], given.hostile)


if __name__ == "__main__":
    main()
