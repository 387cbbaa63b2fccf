"""Uploads to a hub: one commit of everything or none, private unless asked, and no token anywhere."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from small_chain import Chain

from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError, DataError, ModelError
from thinkrec.llm import hub
from thinkrec.stages import export as stage
from thinkrec_cli.main import run

TOKEN = "hf_MARKERabcdefgh0123456789"
FILES = {
    "README.md": "---\nlicense: other\n---\n# Card\n", "parity.json": "{}", "scoring.json": "{}",
    "adapter/adapter_model.safetensors": "weights", "merged/model.safetensors": "more weights",
}  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that this process's client asks, without its faster way of uploading."""
    from huggingface_hub import constants

    running = HubServer(TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", running.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield running
    running.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export, as far as the hub sees it."""
    for name, text in FILES.items():
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "export"


def held(server: HubServer, name: str) -> dict[str, str]:
    """What a repository holds, as text."""
    files = server.repositories[name]["files"]
    return {each: content.decode() for each, content in files.items() if each != ".gitattributes"}


@pytest.mark.parametrize("public", [False, True])
def test_everything_goes_up_in_one_commit(server: HubServer, folder: Path, public: bool) -> None:
    assert hub.upload(folder, "me/one", public, "global of thinkrec on demo") == f"{server.url}/me/one"
    assert held(server, "me/one") == FILES
    assert server.repositories["me/one"]["private"] is not public
    assert [each["summary"] for each in server.commits] == ["global of thinkrec on demo"]


def test_a_later_export_takes_the_place_of_an_earlier_one(server: HubServer, folder: Path) -> None:
    hub.upload(folder, "me/one", False, "first")
    server.repositories["me/one"]["files"] |= {"merged/model-00002.safetensors": b"old", "notes.md": b"mine"}
    (folder / "README.md").write_text("---\nlicense: other\n---\n# Another\n")
    hub.upload(folder, "me/one", False, "second")
    assert held(server, "me/one") == FILES | {
        "README.md": "---\nlicense: other\n---\n# Another\n", "notes.md": "mine",
    }  # fmt: skip
    assert len(server.commits) == 2


def test_an_empty_repository_is_filled_and_another_is_left_alone(server: HubServer, folder: Path) -> None:
    server.add("me/empty", private=True)
    hub.upload(folder, "me/empty", False, "first")
    assert held(server, "me/empty") == FILES
    server.add("me/other", private=True, README__md="# Mine", weights__bin="w")
    with pytest.raises(ConfigError) as error:
        hub.upload(folder, "me/other", False, "first")
    assert str(error.value) == (
        "--to: me/other holds something else than an export of thinkrec (README.md): name another repository"
    )
    assert held(server, "me/other") == {"README.md": "# Mine", "weights.bin": "w"}


def test_nothing_becomes_public_that_was_not_asked_to_be(server: HubServer, folder: Path) -> None:
    server.add("me/open", private=False)
    with pytest.raises(ConfigError, match="me/open can be read by everybody: add --public, or name another"):
        hub.check_repository("me/open", public=False)
    server.add("me/closed", private=True)
    with pytest.raises(ConfigError, match=r"^--public: me/closed is private: open it on the hub, or leave"):
        hub.check_repository("me/closed", public=True)
    assert server.commits == []


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("hub:name", "is no name of a repository; write hub:OWNER/NAME$"),
        ("hub:", "is no name of a repository; write hub:OWNER/NAME$"),
        ("hub:a/b/c", "is no name of a repository; write hub:OWNER/NAME$"),
        ("hub:me/a..b", "is no name of a repository"),
        ("hub:me/one two", "is no name of a repository"),
        ("hub:../x", "is no name of a repository"),
    ],
)
def test_names_that_the_hub_would_not_take(to: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        hub.repository(to)


def test_folders_are_no_repositories() -> None:
    assert hub.repository("out/hub:x") is None and hub.repository("hub") is None
    assert hub.repository("hub:me/one") == "me/one"


@pytest.mark.parametrize(
    ("word", "status", "kind", "words"),
    [
        ("create", 403, ConfigError, r"does not let this token write me/one \(no ... for \*\*\*\): take a"),
        ("commit", 403, ConfigError, "does not let this token write me/one"),
        ("commit", 412, DataError, "me/one was changed meanwhile"),
        ("models", 401, ConfigError, "does not know the token"),
        ("commit", 500, DataError, "answers 500 about me/one"),
        ("stored", 400, DataError, "answers 400 about me/one"),
        ("validate-yaml", 400, DataError, "did not take me/one: Invalid metadata in README.md"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_without_the_token(
    server: HubServer, folder: Path, word: str, status: int, kind: type[Exception], words: str
) -> None:
    server.status, server.said = {word: status}, f"no ... for {TOKEN}"
    with pytest.raises(kind, match=words) as error:
        hub.upload(folder, "me/one", False, "first")
    assert TOKEN not in str(error.value) and "\n" not in str(error.value)
    assert server.commits == []


def test_another_token_is_refused(server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(ConfigError, match=r"does not know the token \(Invalid credentials.*`hf auth login`$"):
        hub.check_repository("me/one", False)


def test_without_a_token_nothing_is_asked(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError) as error:
        hub.check_repository("me/one", False)
    assert str(error.value) == (
        "there is no token for the hub: log in by `hf auth login`, or set the environment variable HF_TOKEN"
    )
    assert server.asked == []


def test_a_hub_that_is_not_there(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://user:pw-MARKER@127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    with pytest.raises(DataError, match=r"can't be reached \(ConnectError\): check the network") as error:
        hub.check_repository("me/one", False)
    assert "MARKER" not in str(error.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="is not asked while HF_HUB_OFFLINE is set: unset it"):
        hub.check_repository("me/one", False)


def test_the_command_uploads_what_it_would_write(
    server: HubServer, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    layout = chain.copy(tmp_path)
    (layout.root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(layout.root)
    assert run(["export", "--dataset", "demo", "--to", "hub:me/one"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"export of demo: written to {server.url}/me/one\n")
    assert {"README.md", "parity.json", "scoring.json", "merged/model.safetensors"} <= held_names(server)
    assert server.repositories["me/one"]["private"] and len(server.commits) == 1
    every = [said.out, said.err, *map(repr, server.repositories["me/one"]["files"].values())]
    assert not [text for text in every if "MARKER" in text]
    assert run(["export", "--dataset", "demo", "--to", "folder", "--public"]) == 2
    assert "--public goes with --to hub:OWNER/NAME" in capsys.readouterr().err
    assert not Path("folder").exists()


def held_names(server: HubServer) -> set[str]:
    return set(server.repositories["me/one"]["files"])


def test_what_fails_its_check_is_not_uploaded(
    server: HubServer, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    layout = chain.copy(tmp_path)
    (layout.root / "params.yaml").write_text(params_text(chain.params), encoding="utf-8")
    monkeypatch.chdir(layout.root)

    def wrong(*args: object, **options: object) -> None:
        raise ModelError("the export is not what was trained")

    monkeypatch.setattr(stage, "export", wrong)
    assert run(["export", "--dataset", "demo", "--to", "hub:me/one"]) == 6
    assert "not what was trained" in capsys.readouterr().err
    assert server.repositories == {} and server.asked == ["GET /api/models/me/one"]


def test_a_process_of_its_own_by_a_saved_token(server: HubServer, tmp_path: Path, folder: Path) -> None:
    """HF_ENDPOINT, and the token from where `hf auth login` saves it; all that is said is looked through."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    code = (
        "import sys, logging; from pathlib import Path; from thinkrec.llm import hub; "
        "logging.basicConfig(level=logging.DEBUG); "
        "print(hub.upload(Path(sys.argv[1]), 'me/one', False, 'first'))"
    )
    own = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    env = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, timeout=120, check=False, env=env | own,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{server.url}/me/one\n" and TOKEN not in done.stderr
    shutil.rmtree(tmp_path / "home")
    assert held(server, "me/one") == FILES
