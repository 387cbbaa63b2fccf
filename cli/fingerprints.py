"""The code that each stage depends on, and its fingerprint, tracked by DVC in projects outside the clone."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import thinkrec
from thinkrec.files import whole
from thinkrec.pipeline import STAGES, Stage
from thinkrec_cli.imports import reached

ROOT = Path(thinkrec.__file__).parents[1]
"""The folder that contains the package: the clone, or site-packages."""
DEMO = "demo"
"""The stage that generates the embedded data set; it does not run per data set of params.yaml."""

OWN = Path(".thinkrec")
"""thinkrec's own folder in a project outside the clone."""


def code_of(stage: Stage) -> list[str]:
    """Return the source files that determine a stage's outputs, relative to ROOT."""
    module = ROOT.joinpath(*stage.module.split(".")).with_suffix(".py")
    return sorted({*reached(module, ROOT), *stage.code})


def demo_code() -> list[str]:
    """Return the source files of the embedded data set's generator, relative to ROOT."""
    return sorted(reached(ROOT / "thinkrec" / "demo" / "generate.py", ROOT))


def place(stage: str) -> Path:
    """Return the path of the fingerprint of a stage's code, relative to a project."""
    return OWN / "code" / f"{stage}.txt"


def fingerprints() -> dict[Path, str]:
    """Return the fingerprints of all stages: the sha256 of each source file, as `sha256sum` prints them."""
    code = {DEMO: demo_code(), **{name: code_of(stage) for name, stage in STAGES.items()}}
    return {place(name): "".join(map(_line, files)) for name, files in code.items()}


def _line(file: str) -> str:
    return f"{sha256((ROOT / file).read_bytes()).hexdigest()}  {file}\n"


def record(project: Path) -> list[str]:
    """Write the fingerprints that changed in a project, and return their stages."""
    changed = []
    for path, text in fingerprints().items():
        file = project / path
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        with whole(file) as beside:
            beside.write_text(text, encoding="utf-8")
        changed.append(path.stem)
    return changed


def code_hash(stage: Stage) -> str:
    """One hash of all files that decide what a stage makes."""
    return sha256("".join(map(_line, code_of(stage))).encode()).hexdigest()
