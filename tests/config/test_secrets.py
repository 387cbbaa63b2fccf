"""Secrets in params.yaml are known as such, and neither kept nor told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from thinkrec.artifacts.check import values_of
from thinkrec.config.load import parse_params
from thinkrec.config.secrets import credentials, is_variable, key_like, names_credential, without_secrets
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec_cli.preset import command

KEYS = [
    "sk-proj-MARKERabcdefgh0123", "gsk_MARKERabcdefghijkl", "AIzaSyMARKERabcdefgh_-1234",
    "MARKER0123456789abcd",
    "d41d8cd98f00b204e9800998ecf8427e", "123e4567-e89b-12d3-a456-426614174000", "aBcDeFgHiJkLmNoPqR",
]  # fmt: skip
NO_KEYS = [
    "Qwen/Qwen2.5-72B-Instruct",
    "Qwen2ForCausalLM",
    "internationalisation",
    "2024-10-21",
    "</s>",
    "low",
    "",
]


@pytest.mark.parametrize("text", KEYS)
def test_keys_look_like_keys(text: str) -> None:
    assert key_like(text)


@pytest.mark.parametrize("text", NO_KEYS)
def test_other_values_do_not(text: str) -> None:
    assert not key_like(text)


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "THINKREC_TEST_KEY", "LLAMA3_70B_KEY", "my_key", "KEY2", "_K", "HUGGINGFACETOKEN"],
)
def test_variables(name: str) -> None:
    assert is_variable(name)


@pytest.mark.parametrize(
    "name", ["MARKER0123456789abcd", "gsk_MARKERabcdefghijkl", "sk1MARKER23abc4", "MARKERabcdefghijklmnop",
             "a" * 32, "1KEY", "A-B", ""],
)  # fmt: skip
def test_a_key_in_place_of_a_variables_name_is_refused_and_not_repeated(name: str) -> None:
    assert not is_variable(name)
    text = params_text(Params()).replace(
        "key_variable: OPENAI_API_KEY", f"key_variable: {json.dumps(name)}", 1
    )
    with pytest.raises(
        ConfigError, match="must be the name of the environment variable that holds"
    ) as caught:
        parse_params(text)
    assert name not in str(caught.value) or len(name) < 4


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("api_key", True), ("apiKey", True), ("X-API-Key", True), ("apikey", True), ("authorization", True),
        ("access_token", True), ("client-secret", True), ("PASSWORD", True), ("max_tokens", False),
        ("eos_token", False), ("top_k", False), ("author", False), ("keyboard", False),
    ],
)  # fmt: skip
def test_names_of_credentials(name: str, credential: bool) -> None:
    assert names_credential(name) is credential


BODY = {
    "api_key": "hunter2x",
    "chat_template_kwargs": {"enable_thinking": False},
    "headers": [{"Authorization": "Bearer MARKER-9"}, {"note": "MARKER0123456789abcd"}],
    "password": 12345678,
    "token": 512,
    "model_kind": "Qwen2ForCausalLM",
}


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def test_keys_in_further_fields_are_known_and_kept_as_hashes() -> None:
    known = {"hunter2x", "Bearer MARKER-9", "MARKER-9", "MARKER0123456789abcd", "12345678"}
    assert set(credentials(BODY)) == known
    assert without_secrets({"extra_body": BODY})["extra_body"] == {
        "api_key": digest("hunter2x"),
        "chat_template_kwargs": {"enable_thinking": False},
        "headers": [{"Authorization": digest("Bearer MARKER-9")}, {"note": digest("MARKER0123456789abcd")}],
        "password": digest("12345678"),
        "token": 512,
        "model_kind": "Qwen2ForCausalLM",
    }


def params(url: str, **body: str) -> Params:
    endpoint = {"base_url": url, "extra_body": body}
    return Params.model_validate({"summarize": {"endpoint": endpoint}, "synthesize": {"endpoint": endpoint}})


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://user:p@ssMARKER@127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("http://user:pa'MARKER@h/v1?code=MARKER&k=MARKER", "http://h/v1"),
        ("https://h:8000/v1?MARKER", "https://h:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    ],
)
def test_manifests_hold_no_secret_and_notice_another_key(url: str, kept: str) -> None:
    def noted(key: str) -> dict[str, object]:
        return values_of(params(url, api_key=key), "demo", ["summarize.endpoint", "synthesize"])

    found = noted("sk-MARKER-1")
    assert "MARKER" not in json.dumps(found)
    assert found["summarize.endpoint"]["base_url"] == kept  # type: ignore[index]
    assert found == noted("sk-MARKER-1") != noted("sk-MARKER-2")


def test_preset_tells_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = params("http://user:p@ssMARKER@127.0.0.1:9/v1?k=pa'MARKER&MARKER", api_key="sk-MARKER-1")
    Path("params.yaml").write_text(params_text(given), encoding="utf-8")
    said = CliRunner().invoke(command, ["cpu"])
    assert said.exit_code == 0 and "MARKER" not in said.output
    assert (
        "summarize.endpoint.base_url: http://***@127.0.0.1:9/v1?k=***&*** -> http://127.0.0.1" in said.output
    )
    assert f"summarize.endpoint.extra_body: {{api_key: {digest('sk-MARKER-1')}}} -> {{}}" in said.output


@pytest.mark.parametrize(
    "body", ["[sk-MARKER-1]", "{api_key: [2024-01-01, sk-MARKER]}", "{api_key: !!binary c2stTUFSS0VS}"]
)
def test_wrong_further_fields_are_not_repeated(body: str) -> None:
    text = params_text(Params()).replace("extra_body: {}", f"extra_body: {body}", 1)
    with pytest.raises(ConfigError, match="extra_body") as caught:
        parse_params(text)
    assert "MARKER" not in str(caught.value) and "c2st" not in str(caught.value)
