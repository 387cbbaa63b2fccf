"""The code that each stage hangs on, and its fingerprint: what DVC watches in projects outside the clone."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import thinkrec
from thinkrec.files import whole
from thinkrec.pipeline import STAGES, Stage
from thinkrec_cli.imports import reached

ROOT = Path(thinkrec.__file__).parents[1]
"""The folder that holds the package: the clone, or Python's own folder of packages."""
DEMO = "demo"
"""The stage that generates the embedded data set; it belongs to no data set of params.yaml."""

OWN = Path(".thinkrec")
"""Where a project outside the clone keeps what is thinkrec's own."""


def code_of(stage: Stage) -> list[str]:
    """Files of this project that decide what a stage makes, relative to ROOT."""
    module = ROOT.joinpath(*stage.module.split(".")).with_suffix(".py")
    return sorted({*reached(module, ROOT), *stage.code})


def demo_code() -> list[str]:
    """The same of the embedded data set's generator."""
    return sorted(reached(ROOT / "thinkrec" / "demo" / "generate.py", ROOT))


def place(stage: str) -> Path:
    """Where a project keeps the fingerprint of a stage's code."""
    return OWN / "code" / f"{stage}.txt"


def fingerprints() -> dict[Path, str]:
    """Of every stage, the sha256 of each file of its installed code, as `sha256sum` prints them."""
    code = {DEMO: demo_code(), **{name: code_of(stage) for name, stage in STAGES.items()}}
    return {place(name): "".join(map(_line, files)) for name, files in code.items()}


def _line(file: str) -> str:
    return f"{sha256((ROOT / file).read_bytes()).hexdigest()}  {file}\n"


def record(project: Path) -> list[str]:
    """Write the fingerprints that differ from what a project has, and name their stages."""
    changed = []
    for path, text in fingerprints().items():
        there = project / path
        if there.is_file() and there.read_text(encoding="utf-8") == text:
            continue
        with whole(there) as beside:
            beside.write_text(text, encoding="utf-8")
        changed.append(path.stem)
    return changed


def code_hash(stage: Stage) -> str:
    """One hash of all files that decide what a stage makes."""
    return sha256("".join(map(_line, code_of(stage))).encode()).hexdigest()
