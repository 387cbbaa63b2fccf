"""Backbones' model folders outside the project."""

from __future__ import annotations

from pathlib import Path

from thinkrec.artifacts.manifest import Files, model_files
from thinkrec.layout import backbone_place


def model_folder(name: str, revision: str | None, root: Path = Path()) -> Path | None:
    """Find a model's folder: a fetched one, the one named, or the hub's snapshot; None if there is none."""
    if place := backbone_place(name, root):
        return place if place.is_dir() else None
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(path).parent if isinstance(path, str) else None


def outside_files(name: str, revision: str | None, root: Path = Path()) -> Files:
    """Return size and hash of the files of a backbone's model; none where there is no folder."""
    folder = model_folder(name, revision, root)
    return model_files(folder) if folder else {}
