"""Backbones' model folders outside the project."""

from __future__ import annotations

from pathlib import Path

from thinkrec.artifacts.manifest import Files, model_files


def model_folder(name: str, revision: str | None) -> Path | None:
    """Find a model's folder: the one named, or the hub's cached snapshot; None if there is none."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(path).parent if isinstance(path, str) else None


def outside_files(name: str, revision: str | None) -> Files:
    """Return size and hash of the files of a backbone's model; none for `tiny`, which is in the project."""
    folder = None if name == "tiny" else model_folder(name, revision)
    return model_files(folder) if folder else {}
