"""No command shows or writes a secret, in whatever way it fails; a new command is covered by its name.

tests/agent/test_no_secret.py does so for endpoints that repeat secrets, tests/llm/test_hub.py for hubs.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.layout import Layout
from thinkrec_cli.commands import COMMANDS, Commands
from thinkrec_cli.main import run

NOWHERE = "127.0.0.1:9"
"""An address where nothing answers."""
KEY, PASSWORD, QUERY = "sk-MARKER/key+0123'6789", "pw+MARKER/0987:54321", "qk-MARKER-5556667778"
TYPICAL = "sk-proj-MARKERabcdefgh0123456789"
LOGIN = f"http://someone:{quote(PASSWORD, safe='')}@{NOWHERE}"
SECRETS = {
    "OPENAI_API_KEY": KEY,
    "HF_TOKEN": "hf_MARKERtoken0123456789",
    "AWS_ACCESS_KEY_ID": "AKIAMARKER0123456789",
    "AWS_SECRET_ACCESS_KEY": "s3/MARKER+secret0123456789abcdefghijklmn",
    "AWS_SESSION_TOKEN": "session/MARKER+0123456789",
    "THINKREC_TOKEN": "serve-MARKER-0123456789",
    "WANDB_API_KEY": "0123456789MARKERabcdef0123456789abcdef01",
}
"""By environment variable."""
NETWORK = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), LOGIN),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    "PIP_INDEX_URL": f"{LOGIN}/simple", "PIP_EXTRA_INDEX_URL": f"{LOGIN}/more", "PIP_RETRIES": "0",
    "npm_config_registry": f"{LOGIN}/npm", "npm_config_fetch_retries": "0",
    "AWS_ENDPOINT_URL": f"http://{NOWHERE}", "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
"""Whatever is fetched ends at once, and the addresses hold a password themselves."""
FURTHER: dict[str, list[list[str]]] = {
    "export": [["--dataset", "demo", "--to", "hub:me/one"], ["--dataset", "demo", "--to", f"hub:{LOGIN}"]],
    "recommend": [["--dataset", "demo", "--like", "x"]],
    "init": [["new", "--from", "events.csv", "--items", "items.csv"], ["--upgrade", "."]],
    "doctor": [["--json"]],
    "serve": [["--dataset", "demo", "--host", "0.0.0.0", "--port", "0"]],
    "compare": [["--published", "--dataset", "demo"]],
}
"""Arguments besides those that a command requires."""


def value(parameter: click.Parameter) -> list[str]:
    """Words that a parameter takes."""
    if isinstance(parameter.type, click.Choice):
        return [str(each) for each in parameter.type.choices]
    if "dataset" in parameter.opts[0]:
        return ["demo", "far", "s3"]
    return ["1"] if isinstance(parameter.type, click.IntRange) else ["words.txt"]


def lines(name: str, every: bool = True) -> list[list[str]]:
    """Arguments for a command: what it requires, with the first value or with each, and FURTHER's."""
    command = Commands().get_command(click.Context(Commands()), name)
    assert command is not None
    found: list[list[str]] = [[]]
    for parameter in command.params:
        if parameter.required:
            words = [[each] for each in value(parameter)[: None if every else 1]]
            if isinstance(parameter, click.Option):
                words = [[parameter.opts[0], *each] for each in words]
            found = [[*before, *more] for before in found for more in words]
    return [*found, *FURTHER.get(name, []), [*found[0], "--no-such-option"]]


def written(url: str = LOGIN) -> str:
    """params.yaml with secrets in it: of endpoints, of raw files far away."""
    endpoint = {
        "base_url": f"{url}/v1?api-key={QUERY}", "extra_body": {"api_key": KEY}, "retries": 0, "timeout": 1,
    }  # fmt: skip
    far = {"reader": "custom", "raw": f"{url}/raw?sig={QUERY}", "watch": "x"}
    params = {
        "summarize": {"extractor": "endpoint", "endpoint": endpoint},
        "synthesize": {"teacher": "endpoint", "endpoint": endpoint},
        "trajectories": {"source": "endpoint", "endpoint": endpoint},
        "backbone": {"model": "some/model"},
        "datasets": {"demo": {"reader": "demo"}, "far": far, "s3": far | {"raw": "s3://bucket/raw"}},
    }
    return params_text(Params.model_validate(params))


def empty() -> None:
    """No project."""


def without_inputs() -> None:
    """A project in which no stage was run."""
    Path("params.yaml").write_text(written(), encoding="utf-8")


def broken_yaml() -> None:
    """The quote of an address is not closed: YAML's parser shows where."""
    text = written()
    line = next(line for line in text.splitlines() if "base_url" in line and "MARKER" in line)
    assert "MARKER" in line
    start = line.index("http")
    Path("params.yaml").write_text(text.replace(line, f'{line[:start]}"{line[start:]}', 1), encoding="utf-8")


def wrong_values() -> None:
    """Keys where no keys belong, unknown names beside them, an address that is none."""
    text = written().replace("key_variable: OPENAI_API_KEY", f"key_variable: {TYPICAL}")
    text = text.replace("timeout: 1.0", f"timeout: {TYPICAL}\n    password: {json.dumps(PASSWORD)}", 1)
    text = text.replace("http://someone", "ftp://someone").replace("seed: 7", f"seed: {TYPICAL}", 1)
    assert text.count(TYPICAL) == 3
    Path("params.yaml").write_text(text, encoding="utf-8")


def damaged() -> None:
    """Artifacts that are there, and none of which can be read."""
    without_inputs()
    layout = Layout("demo")
    files = [
        layout.interactions, layout.items, layout.users, layout.keywords, layout.rationales, layout.metrics,
        layout.manifest("prep"), layout.manifest("cf"), layout.manifest("evaluate"), layout.graph,
        layout.backbone / "backbone.json", layout.global_adapter / "adapter_config.json",
        layout.encoder("lightgcn") / "config.json", layout.predictions / "frozen" / "thinkrec.parquet",
        Path("words.txt"), Path("events.csv"), Path("items.csv"), Path("dvc.yaml"),
    ]  # fmt: skip
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"no": "such thing"', encoding="utf-8")


SITUATIONS: tuple[Callable[[], None], ...] = (empty, without_inputs, broken_yaml, wrong_values, damaged)


def forms(secret: str) -> Iterator[str]:
    """A secret as it may stand somewhere."""
    yield from (
        secret,
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        secret.encode().hex(),
    )
    yield base64.b64encode(secret.encode()).decode()[:-4]


def leaked(text: str) -> list[str]:
    """Secrets that a text holds, whole or by the word that all have."""
    every = (*SECRETS.values(), PASSWORD, QUERY)
    return [each for each in every if any(form in text for form in forms(each))] + (
        ["MARKER"] if "marker" in text.lower() else []
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a home of its own, secrets in the environment, no network."""
    from huggingface_hub import constants

    for name, secret in {**SECRETS, **NETWORK}.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("THINKREC_DEBUG", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "ENDPOINT", LOGIN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # its client would try for minutes
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_shows_or_writes_a_secret(
    place: Path, name: str, situation: Callable[[], None], capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG, "thinkrec")
    situation()
    first, *others = lines(name, every=situation is without_inputs)
    for line in ([name, *first], *(["--debug", name, *each] for each in (first, *others))):
        run(line)
        os.environ["THINKREC_DEBUG"] = ""
        said = capfd.readouterr()
        assert leaked(said.out + said.err + caplog.text) == [], (line, said)
    for path in place.rglob("*"):
        if path.is_file() and path.name != "params.yaml":
            assert leaked(path.read_bytes().decode(errors="replace")) == [], path


def test_every_command_can_fail_here(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The situations are those in which commands say something: most end with an error of their own."""
    without_inputs()
    anywhere = ("init", "fetch", "preset", "replay", "doctor")
    codes = {name: run([name, *lines(name)[0]]) for name in COMMANDS if name not in anywhere}
    assert 0 not in codes.values()
    assert {3, 4, 6} <= set(codes.values())
    said = capfd.readouterr().err
    assert said.count("error: ") + list(codes.values()).count(2) == len(codes)
