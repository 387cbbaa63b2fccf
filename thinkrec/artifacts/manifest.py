"""Manifests: a stage's inputs, parameters and output files, by hash.

data/D/manifests/STAGE.json is the same for two equal runs.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from thinkrec.files import json_text, kind_of, write_json
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES

FORMAT = 2
LARGE = 64 * 2**20
"""Bytes from which a file of weights is checked by size and header only, unless `deep`."""
MODEL = "model: "
"""Prefix of files of a backbone's model folder outside the project."""
_MODEL_SUFFIXES = {".json", ".jinja", ".txt", ".model", ".safetensors", ".bin", ".gguf"}
Files = dict[str, dict[str, Any]]


def path_of(layout: Layout, artifact: str) -> Path:
    """Return the path of an artifact or a part of it, by its name in the table of stages."""
    name, _, part = artifact.partition("/")
    name, _, argument = name.partition(":")
    value: Any = getattr(layout, name)
    path: Path = value(argument) if argument else value
    return path / part if part else path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(path: Path) -> str:
    """Hash a safetensors file's header: names, types, shapes and offsets of its tensors."""
    with path.open("rb") as file:
        length = file.read(8)
        size = min(struct.unpack("<Q", length.ljust(8, b"\0"))[0], LARGE)
        return hashlib.sha256(length + file.read(size)).hexdigest()


def _described(path: Path, deep: bool) -> dict[str, Any]:
    size = path.stat().st_size
    if size < LARGE or path.suffix != ".safetensors":
        return {"bytes": size, "sha256": _hash(path)}
    return {"bytes": size, "header": _header(path), **({"sha256": _hash(path)} if deep else {})}


def describe(path: Path, deep: bool = False) -> Files:
    """Return size and hash of each file of an artifact, by relative path; "" for a single file.

    Args:
        path: a file or a folder.
        deep: hash large weights completely, not only their headers.
    """
    if not path.is_dir():
        return {"": _described(path, deep)} if path.is_file() else {}  # reading a pipe would hang
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return {each.relative_to(path).as_posix(): _described(each, deep) for each in files}


def model_files(folder: Path) -> Files:
    """Return size and hash of the files of a model folder outside the project."""
    files = sorted(each for each in folder.iterdir() if each.is_file() and each.suffix in _MODEL_SUFFIXES)
    return {f"{MODEL}{each.name}": _described(each, False) for each in files}


def changed_files(recorded: Files, actual: Files) -> list[str]:
    """List the files that were changed, removed or added."""
    names = sorted(recorded.keys() | actual.keys())
    return [name for name in names if not _same(recorded.get(name), actual.get(name))]


def _same(recorded: dict[str, Any] | None, actual: dict[str, Any] | None) -> bool:
    if recorded is None or actual is None:
        return False
    return all(recorded.get(key) == value for key, value in actual.items())


def digest(files: Files) -> str:
    """Combine the hashes of an artifact's files into one."""
    hashes = {name: entry.get("sha256") or entry["header"] for name, entry in files.items()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def part_of(files: Files, part: str) -> Files:
    """Select the files of a part (a subfolder) of an artifact; all if `part` is empty."""
    if not part:
        return files
    return {
        name.removeprefix(f"{part}/"): each for name, each in files.items() if name.startswith(f"{part}/")
    }


def _seal(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def write_manifest(
    layout: Layout, stage: str, inputs: dict[str, str], params: dict[str, Any], outputs: dict[str, Files]
) -> None:
    """Write the manifest of a finished stage.

    Args:
        layout: of the data set.
        stage: its name.
        inputs: digest of each artifact that it read.
        params: the parameters that its outputs depend on, by dotted key.
        outputs: files of each artifact that it wrote.
    """
    manifest = {
        "format": FORMAT,
        "stage": stage,
        "dataset": layout.dataset,
        "inputs": inputs,
        "params": params,
        "outputs": outputs,
    }
    write_json(layout.manifest(stage), {**manifest, "seal": _seal(manifest)})


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading a pipe would hang
        raise ValueError(f"is {kind_of(path.stat().st_mode)}, not a file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise ValueError("is not JSON") from error
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror})") from error


def read_manifest(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is invalid; says why.
    """
    text = _text(layout.manifest(stage))
    try:
        manifest = json.loads(text)
    except (RecursionError, json.JSONDecodeError) as error:
        raise ValueError("is not JSON") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ValueError("is not a manifest")
    if manifest["format"] != FORMAT:
        raise ValueError(f"has format {manifest['format']}, this version of thinkrec reads {FORMAT}")
    if text != json_text(manifest) or manifest.pop("seal", None) != _seal(manifest):
        raise ValueError("was changed by hand or is damaged")
    if (manifest["stage"], manifest["dataset"]) != (stage, layout.dataset):
        raise ValueError(f"is that of `thinkrec {manifest['stage']} --dataset {manifest['dataset']}`")
    if set(manifest["outputs"]) != set(STAGES[stage].outputs):
        raise ValueError("names other artifacts than this version of thinkrec")
    return dict(manifest)
