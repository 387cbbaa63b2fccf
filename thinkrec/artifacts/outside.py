"""Model folders outside the project, which a backbone stands on."""

from __future__ import annotations

from pathlib import Path

from thinkrec.artifacts.manifest import Files, model_files


def model_folder(name: str, revision: str | None) -> Path | None:
    """The folder of a model: the one named, or the hub's cached snapshot; None where it is not here."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def outside_files(name: str, revision: str | None) -> Files:
    """Size and hash of the files of a backbone's model; none for `tiny`, which lies in the project."""
    folder = None if name == "tiny" else model_folder(name, revision)
    return model_files(folder) if folder else {}
