"""Manifests: what a stage wrote, from what, with which parameters; and whether it is still so.

data/D/manifests/STAGE.json holds nothing that differs between two equal runs.
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
"""Bytes from which a file of weights is proved by its size and header, unless asked to look deep."""
MODEL = "model: "
"""Before the names of the files of a model folder outside the project, which a backbone stands on."""
_READ = {".json", ".jinja", ".txt", ".model", ".safetensors", ".bin", ".gguf"}
Files = dict[str, dict[str, Any]]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(path: Path) -> str:
    """Hash of a safetensors file's header: names, types, shapes and places of its tensors."""
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
    """Size and hash of each file of an artifact, by its path in it; a single file's is empty.

    Args:
        path: a file or a folder.
        deep: hash large weights as a whole, too, not their header alone.
    """
    if not path.is_dir():
        return {"": _described(path, deep)} if path.is_file() else {}  # reading a pipe would hang
    files = sorted(each for each in path.rglob("*") if each.is_file())
    return {each.relative_to(path).as_posix(): _described(each, deep) for each in files}


def model_files(folder: Path) -> Files:
    """Size and hash of the files that make a model, in a folder outside the project."""
    files = sorted(each for each in folder.iterdir() if each.is_file() and each.suffix in _READ)
    return {f"{MODEL}{each.name}": _described(each, False) for each in files}


def changed_files(noted: Files, found: Files) -> list[str]:
    """Names of the files that are not as noted, gone or new."""
    names = sorted(noted.keys() | found.keys())
    return [name for name in names if not _same(noted.get(name), found.get(name))]


def _same(noted: dict[str, Any] | None, found: dict[str, Any] | None) -> bool:
    if noted is None or found is None:
        return False
    return all(noted.get(key) == value for key, value in found.items())


def digest(files: Files) -> str:
    """One hash of an artifact's files."""
    said = {name: entry.get("sha256") or entry["header"] for name, entry in files.items()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def part_of(files: Files, part: str) -> Files:
    """The files of a part (a folder) of an artifact; all without one."""
    if not part:
        return files
    return {
        name.removeprefix(f"{part}/"): each for name, each in files.items() if name.startswith(f"{part}/")
    }


def _seal(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_manifest(
    layout: Layout,
    stage: str,
    inputs: dict[str, str],
    params: dict[str, Any],
    outputs: dict[str, Files],
    code: str = "",
) -> None:
    """Write the manifest of a stage that has ended well.

    Args:
        layout: of the data set.
        stage: its name.
        inputs: digest of each artifact that it read.
        params: the parameters that decided its outputs, by their dotted keys.
        outputs: files of each artifact that it made.
        code: hash of the code that made them, of stages that variants share.
    """
    said = {
        "format": FORMAT,
        "stage": layout.own(stage),
        "dataset": layout.dataset,
        "inputs": inputs,
        "params": params,
        "outputs": outputs,
        **({"code": code} if code else {}),
    }
    write_json(layout.manifest(stage), {**said, "seal": _seal(said)})


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading a pipe would hang
        raise ValueError(f"is {kind_of(path.stat().st_mode)}, not a file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise ValueError("is no JSON") from error
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror})") from error


def read_manifest(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it can't be trusted; says why.
    """
    text = _text(layout.manifest(stage))
    try:
        said = json.loads(text)
    except (RecursionError, json.JSONDecodeError) as error:
        raise ValueError("is no JSON") from error
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise ValueError("is no manifest")
    if said["format"] != FORMAT:
        raise ValueError(f"has format {said['format']}, this version of thinkrec reads {FORMAT}")
    if text != json_text(said) or said.pop("seal", None) != _seal(said):
        raise ValueError("was changed by hand or is damaged")
    if (said["stage"], said["dataset"]) != (layout.own(stage), layout.dataset):
        raise ValueError(f"is that of `thinkrec {said['stage']} --dataset {said['dataset']}`")
    if set(said["outputs"]) != set(STAGES[stage].outputs):
        raise ValueError("names other artifacts than this version of thinkrec")
    return dict(said)
