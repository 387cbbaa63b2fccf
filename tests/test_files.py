"""Files that take another's place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from thinkrec.config.presets import apply_preset
from thinkrec.config.sections import Params, Tuned
from thinkrec.config.tuned import write_tuned
from thinkrec.config.write import params_text
from thinkrec.errors import StorageError
from thinkrec.files import Batch, check_writable, together, whole, write_json


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """New files are open to everybody, as on most machines."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o400, 0o444, 0o644, 0o664, 0o755])
def test_a_file_keeps_the_rights_of_the_one_it_replaces(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.json"
    path.write_text("old", encoding="utf-8")
    path.chmod(kept)
    with whole(path) as beside:
        beside.write_text("new", encoding="utf-8")
        assert kept & 0o004 or not mode(beside) & 0o077 & ~kept
    assert (path.read_text(encoding="utf-8"), mode(path)) == ("new", kept)


def test_a_file_of_a_batch_keeps_them_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o600)
    with together(Batch(tmp_path, [path], tmp_path / "journal", tmp_path / ".work")) as batch:
        write_json(path, {"a": 1})
        batch.commit()
    assert ('"a": 1' in path.read_text(encoding="utf-8"), mode(path)) == (True, 0o600)


def test_a_new_file_and_a_folder_in_a_files_place(tmp_path: Path) -> None:
    write_json(tmp_path / "new.json", 1)
    assert mode(tmp_path / "new.json") == 0o644
    (tmp_path / "was").write_text("x", encoding="utf-8")
    with whole(tmp_path / "was") as beside:
        beside.mkdir()
    assert (tmp_path / "was").is_dir()


@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_weights_in_a_folder_follow_the_umask(tmp_path: Path, umask: int, rights: int) -> None:
    os.umask(umask)
    with whole(tmp_path / "model") as beside:
        beside.mkdir()
        save_file({"a": torch.ones(1)}, beside / "model.safetensors")
        (beside / "run.sh").touch(0o750)
    assert mode(tmp_path / "model" / "model.safetensors") == rights
    assert mode(tmp_path / "model" / "run.sh") == 0o750 & ~umask
    assert os.umask(umask) == umask


def test_a_place_without_new_files_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())

    def absent(path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "touch", absent)  # as below /proc
    with pytest.raises(StorageError) as error:
        check_writable(tmp_path / "new")
    assert str(error.value) == (
        f"cannot write {tmp_path}/new: {tmp_path} takes no new files; name another folder"
    )


def test_preset_and_search_leave_params_yaml_closed(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text(Params()), encoding="utf-8")
    path.chmod(0o600)
    assert apply_preset(path, "paper")
    assert mode(path) == 0o600
    write_tuned(path, "demo", Tuned.model_validate({"cf": {"mf": {"learning_rate": 0.001}}}))
    assert mode(path) == 0o600
