"""A key, a password and a query's secret, through every failing path: they are found nowhere.

The server knows all three and repeats them in all that it says, in many forms.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agent_by_hand import case_at, knowing
from chat_server import ChatServer
from small_chain import seal
from tables import write_interactions

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.layout import Layout
from thinkrec_cli.main import run

KEY, PASSWORD, QUERY = "sk-MARKER/key+0123'6789\"abcd", "pw+MARKER/0987:54321", "qk-MARKER-5556667778"
SECRETS = (KEY, PASSWORD, QUERY)
NAME = "THINKREC_MARKED_KEY"
COMMANDS = ("summarize", "synthesize", "trajectories")


def encoded(secret: str) -> list[str]:
    """Forms that a secret may be found in; base64 as it stands behind up to two other bytes."""
    codes = [base64.b64encode(b"::"[:count] + secret.encode()).decode() for count in range(3)]
    return [
        secret, quote(secret), quote(secret, safe=""), html.escape(secret), json.dumps(secret)[1:-1],
        secret.encode().hex(), secret[:12],
        *(code[4:24] for code in codes), *(code[4:24].replace("+", "-") for code in codes),
    ]  # fmt: skip


def repeated() -> str:
    """Words that repeat the secrets; some are divided by what nobody sees, all stand among escapes."""
    forms = []
    for secret in SECRETS:
        forms += [secret, quote(secret, safe=""), html.escape(secret), secret.upper(), secret.encode().hex()]
        forms += [base64.b64encode(f"{before}{secret}".encode()).decode() for before in ("", "u:", "a:", ":")]
        forms += [
            f"{secret[:9]}\u200b{secret[9:]}",
            f"{secret[:9]}\x1b[31m{secret[9:]}",
            f"http://u:{secret}@h/",
        ]
        forms += [f"https://h/?api-key={quote(secret)}", json.dumps(secret), repr(secret)]
    return "Wrong\x1b]0;title\x07 \u202ekey: " + " ".join(forms) + " \x1b[2J\x9b1mend\u2066."


def found(secret: str, text: str) -> list[str]:
    return [form for form in encoded(secret) if form.lower() in text.lower()]


def kept(folder: Path) -> Iterator[tuple[Path, str]]:
    """All files but params.yaml, which the user wrote, as text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "params.yaml":
            text = path.read_bytes().decode(errors="replace")
            if path.suffix == ".parquet" and path.stat().st_size:
                text += str(pq.read_table(path).to_pylist())
            elif path.suffix in (".json", ".jsonl"):
                text += " ".join(str(json.loads(line)) for line in text.splitlines()) if "\n{" in text else ""
            yield path, text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project with small tables; the agent's stage has the films made by hand."""
    from thinkrec.llm import backbone
    from thinkrec.prompts import guard
    from thinkrec.stages import trajectories

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THINKREC_DEBUG", "")
    monkeypatch.setenv(NAME, KEY)
    layout = Layout("demo")
    layout.data.mkdir(parents=True)
    rows = [
        {
            "user_id": user, "item_id": (user + place) % 6 + 1, "label": (user * place) % 2, "rating": 4.0,
            "timestamp": place, "position": place, "split": "train" if place < 4 else "test",
            "not_cold": place == 4,
        }
        for user in range(1, 7) for place in range(5)
    ]  # fmt: skip
    write_interactions(layout.interactions, rows)
    items = [{"item_id": k, "raw_id": str(k), "title": f"Film {k}", "description": ""} for k in range(1, 7)]
    pq.write_table(pa.Table.from_pylist(items), layout.items)
    words = {"item_id": range(1, 7), "keywords": [["space"]] * 6, "source": ["tfidf"] * 6}
    pq.write_table(pa.table(words), layout.keywords)
    for path in (layout.graph, layout.cases):
        path.touch()
    for folder in (layout.agent_backbone, layout.encoder(Params().agent.encoder)):
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    monkeypatch.setattr(trajectories, "make_cases", lambda *_: ([case_at()], {}))
    monkeypatch.setattr(trajectories, "load_knowledge", lambda *_: knowing())
    monkeypatch.setattr(backbone, "load_tokenizer", lambda *_: None)
    monkeypatch.setattr(guard, "Guard", lambda *_: None)
    return layout


def write_params(url: str, **options: Any) -> None:
    """params.yaml whose stages ask an endpoint."""
    endpoint = {"base_url": url, "model": "m", "key_variable": NAME, "retries": 0, "timeout": 5} | options
    params = {
        "summarize": {"extractor": "endpoint", "endpoint": endpoint},
        "synthesize": {"teacher": "endpoint", "endpoint": endpoint, "attempts": 2},
        "trajectories": {"source": "endpoint", "endpoint": endpoint, "rollouts": 1, "max_rank": 26},
    }
    Path("params.yaml").write_text(params_text(Params.model_validate(params)))
    seal(Layout("demo"), Params.model_validate(params))


def marked(url: str) -> str:
    """The address with user, password and a secret in its query."""
    here = url.removeprefix("http://")
    return f"http://someone:{quote(PASSWORD, safe='')}@{here}?api-key={QUERY}&api-version=2024-10-21"


def answer(request: dict[str, Any]) -> Any:
    """A good answer of all kinds, the secrets in every part of it."""
    words = repeated()
    asked = json.dumps({"query": f"{KEY} {words}"}).replace("/", "\\/")
    call = {"id": f"c{KEY}", "function": {"name": "search_history", "arguments": asked}}
    if request.get("tool_choice") == "auto" and len(request["messages"]) == 1:
        return {"content": words, "reasoning_content": words, "tool_calls": [call]}
    parts = [f"Yes. {words} {KEY[:9]}", {"type": "text", "text": f"{KEY[9:]}\nRanking: B C A"}]
    return {"content": parts, "reasoning_content": words, "finish": f"stop {KEY}"}


def refused(status: int, kind: str | None = None) -> Callable[[dict[str, Any]], Any]:
    body = {"error": {"message": repeated(), "type": KEY, "code": kind or QUERY}}
    return lambda request: {"raw": body, "status": status, "headers": {"x-request-id": QUERY}}


PATHS: dict[str, tuple[Callable[[dict[str, Any]], Any], int]] = {
    **{str(status): (refused(status), 7) for status in (400, 401, 403, 404, 422, 429, 500)},
    "empty_500": (lambda request: {"raw": "", "status": 500}, 7),
    "text_500": (lambda request: {"raw": repeated(), "status": 500}, 7),
    "error_in_200": (refused(200, "invalid_api_key"), 7),
    "no_message_in_200": (lambda request: {"raw": {"choices": [], repeated(): repeated()}}, 7),
    "no_text_in_200": (lambda request: {"content": {KEY: repeated()}}, 7),
    "broken_json": (lambda request: {"raw": '{"choices": ["' + repeated()}, 7),
    "redirected": (
        lambda request: {"raw": "", "status": 302, "headers": {"Location": f"gopher://{QUERY}/{QUERY}"}}, 7,
    ),
    "answered": (answer, 0),
}  # fmt: skip


def check(
    project: Layout, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> tuple[str, str]:
    """Search both streams, the log and all files; give the streams."""
    streams = capsys.readouterr()
    texts = [("out", streams.out), ("err", streams.err), ("log", caplog.text), *kept(project.root.absolute())]
    assert {
        str(name): forms for name, text in texts for each in SECRETS if (forms := found(each, text))
    } == {}
    shown = streams.out + streams.err + caplog.text
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
    return streams.out, streams.err


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_secret_is_found(
    server: ChatServer, project: Layout, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    command: str, path: str, debug: bool,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, "thinkrec")
    server.script, code = PATHS[path]
    write_params(marked(server.url))
    assert run([*["--debug"] * debug, command, "--dataset", "demo"]) == code
    out, err = check(project, capsys, caplog)
    login = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
    assert server.keys[0] == f"Basic {login}"
    assert server.paths[0] == f"/v1/chat/completions?api-key={QUERY}&api-version=2024-10-21"
    if code:
        shown = server.url.replace("http://", "http://***@") + "?api-key=***&api-version=2024-10-21"
        assert f"the endpoint {shown} (model m) " in err
        assert err.startswith("Traceback" if debug else "error: ") and (debug or err.count("\n") == 1)
    else:
        assert f"{command} of demo: done" in out
    if path in ("401", "error_in_200"):
        assert f"(Wrong key: {'*** ' * 3}" in err
        assert f"set the environment variable {NAME} to a valid key" in err


@pytest.mark.parametrize(("command", "code"), [("summarize", 0), ("synthesize", 7), ("trajectories", 5)])
def test_useless_answers_show_none(
    server: ChatServer, project: Layout, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    command: str, code: int,
) -> None:  # fmt: skip
    server.script = lambda request: {"content": f"{KEY} {repeated()}", "finish": "length"}
    write_params(marked(server.url), max_tokens_limit=1, max_tokens=1)
    assert run([command, "--dataset", "demo"]) == code
    check(project, capsys, caplog)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("key", "said"), [(f"{KEY}\nX-More: {QUERY}", "a line end"), (f"{KEY}é", "a character outside ASCII")]
)
def test_a_key_that_no_header_can_carry(
    project: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, command: str, debug: bool, key: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(NAME, key)
    write_params("http://127.0.0.1:9/v1")
    assert run([*["--debug"] * debug, command, "--dataset", "demo"]) == 3
    _, err = check(project, capsys, caplog)
    sentence = (
        f"the environment variable {NAME} holds {said} within the key, which can't be sent: set it to the "
        "key alone\n"
    )
    assert err.endswith(sentence) and (debug or err == f"error: {sentence}")


@pytest.mark.parametrize("around", ["{}\n", " {}\r\n", "\t{}"])
def test_white_space_around_a_key_is_left_out(
    server: ChatServer, project: Layout, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    monkeypatch.setenv(NAME, around.format(KEY))
    server.script = lambda request: "space"
    write_params(server.url)
    assert run(["summarize", "--dataset", "demo"]) == 0
    assert set(server.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_endpoint_that_is_down_or_slow(
    server: ChatServer, project: Layout, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, command: str, debug: bool,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, "thinkrec")
    write_params(marked(server.url), timeout=0.05)
    import time

    server.script = lambda request: lambda: time.sleep(0.3) or "late"
    assert run([*["--debug"] * debug, command, "--dataset", "demo"]) == 7
    assert "gave no answer within 0.05 s" in check(project, capsys, caplog)[1]
    server.close()
    assert run([*["--debug"] * debug, command, "--dataset", "demo"]) == 7
    assert "cannot be reached" in check(project, capsys, caplog)[1]


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (f"http://u:{quote(PASSWORD, safe='')}@[::1/v1?api-key={QUERY}", ["summarize", "--dataset", "demo"]),
        (f"ftp://u:{quote(PASSWORD, safe='')}@h/v1?api-key={QUERY}", ["synthesize", "--dataset", "demo"]),
        (f"http://u:{quote(PASSWORD, safe='')}@h/v1?api-key={QUERY}", ["preset", "cpu"]),
    ],
)
def test_an_address_is_not_repeated(
    project: Layout, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, url: str,
    command: list[str],
) -> None:  # fmt: skip
    write_params("http://127.0.0.1:9/v1")
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("http://127.0.0.1:9/v1", json.dumps(url)))
    code = run(command)
    out, err = check(project, capsys, caplog)
    if command[0] == "preset":
        assert code == 0 and "summarize.endpoint.base_url: http://***@h/v1?api-key=*** -> http" in out
    else:
        assert code == 3 and err.count("endpoint.base_url: must be an address such as http://") == 3


def test_a_proxy_that_is_no_address(
    project: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("HTTP_PROXY", f"http://u:{QUERY}@[::1")
    write_params("http://h/v1")
    assert run(["summarize", "--dataset", "demo"]) == 3
    err = check(project, capsys, caplog)[1]
    assert "summarize.endpoint.base_url in params.yaml, or the address of a proxy in HTTP_PROXY" in err


@pytest.mark.parametrize(("key", "code"), [(KEY, 7), (f"{KEY}\n", 7), (f"{KEY}\nmore", 3)])
def test_a_process_of_its_own_shows_none_either(
    server: ChatServer, project: Layout, monkeypatch: pytest.MonkeyPatch, key: str, code: int,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """With its own log, which here tells all that the packages have to say."""
    server.script = refused(401)
    write_params(marked(server.url))
    monkeypatch.setenv(NAME, key)
    monkeypatch.setenv("OPENAI_LOG", "debug")
    start = (
        "import logging, thinkrec_cli.main as m; logging.getLogger('httpx2').setLevel(10); m.run and None\n"
    )
    start += "logging.getLogger('httpx').setLevel(10); raise SystemExit(m.run())"
    arguments = ["--debug", "summarize", "--dataset", "demo"]
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code
    print(done.stdout, done.stderr)
    out, _ = check(project, capsys, caplog)
    assert "Traceback" in out and ("HTTP Request: POST http://***@127.0.0.1" in out) == (code == 7)
