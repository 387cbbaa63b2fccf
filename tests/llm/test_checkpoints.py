"""Checkpoints: only those written to their end are resumed from."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinkrec.artifacts.marks import mark_whole
from thinkrec.config.sections import Lora
from thinkrec.errors import ConfigError
from thinkrec.files import read_json
from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
from thinkrec.llm.backbone import load_backbone
from thinkrec.llm.checkpoints import forget, last_whole


def checkpoint(work: Path, step: int, whole: bool) -> Path:
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(b"cut")
    if whole:
        mark_whole(folder)
    return folder


def test_half_written_checkpoints_are_removed_and_the_newest_whole_one_is_taken(tmp_path: Path) -> None:
    kept = [checkpoint(tmp_path, 9, True), checkpoint(tmp_path, 100, True)]
    broken = checkpoint(tmp_path, 200, False)
    (tmp_path / "checkpoint-of-mine").mkdir()
    assert last_whole(tmp_path) == str(kept[1])
    assert not broken.exists()
    assert all(folder.exists() for folder in kept)


@pytest.mark.parametrize("damage", [b"", b"cu", b"cuT", b"cutcut", None])
def test_damaged_checkpoints_are_removed_and_an_earlier_one_is_taken(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept, broken = checkpoint(tmp_path, 9, True), checkpoint(tmp_path, 10, True)
    if damage is None:
        (broken / "optimizer.pt").unlink()
    else:
        (broken / "optimizer.pt").write_bytes(damage)
    assert last_whole(tmp_path) == str(kept)
    assert not broken.exists()
    assert "checkpoint-10 is damaged" in caplog.text


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert last_whole(tmp_path / "absent") is None
    checkpoint(tmp_path, 5, False)
    assert last_whole(tmp_path) is None


def test_only_the_stages_own_checkpoints_go(tmp_path: Path) -> None:
    checkpoint(tmp_path / ".work" / "global", 5, True)
    checkpoint(tmp_path / ".work" / "experts", 5, True)
    forget(tmp_path / ".work" / "global")
    assert [path.name for path in (tmp_path / ".work").iterdir()] == ["experts"]


def test_unknown_target_module_is_refused_with_the_nearest_name(chain) -> None:  # type: ignore[no-untyped-def]
    backbone = load_backbone(chain.layout.backbone)
    with pytest.raises(ConfigError, match="the backbone has no module 'qq_proj'; did you mean 'q_proj'"):
        new_adapter(backbone, Lora(target_modules=["qq_proj", "v_proj"]), 7)


def test_adapter_config_is_the_same_each_time(chain, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    modules = ["v_proj", "q_proj", "k_proj", "o_proj"]
    backbone = load_backbone(chain.layout.backbone)
    origin = origin_of(backbone)
    save_adapter(new_adapter(backbone, Lora(target_modules=modules), 7), tmp_path, origin)
    assert sorted(modules) == read_json(tmp_path / "adapter_config.json")["target_modules"]
