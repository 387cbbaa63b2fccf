"""Artifacts against their manifests: unchanged, and made from the current inputs."""

from __future__ import annotations

from collections.abc import Iterator

from thinkrec.artifacts.check import iter_faults
from thinkrec.audit.check import Check, judged
from thinkrec.config.sections import Params
from thinkrec.errors import DataError
from thinkrec.layout import Layout
from thinkrec.pipeline import STAGES
from thinkrec.runs import read_record
from thinkrec.variants import VARIANTS

CLAIM = "is as its stage wrote it, from what is there now"
_KEYS = ("seed", "prompt")


def check_files(layout: Layout, params: Params, deep: bool) -> Iterator[Check]:
    """Check each existing artifact; with `deep`, hash large weights completely, not only their headers."""
    how = "every byte" if deep else "every byte; weights above 64 MB by size and header (--deep reads them)"
    for name, stage in STAGES.items():
        for variant in VARIANTS if stage.by_variant else [layout.variant]:
            yield from _records(layout.of(variant), name)
    for artifact, fault in iter_faults(layout, params, _KEYS, deep):
        yield judged(artifact, CLAIM, [fault] if fault else [], f"{how} has the hash in its manifest")


def _records(layout: Layout, stage: str) -> Iterator[Check]:
    """Yield a failed check if a stage's run record can't be read."""
    try:
        read_record(layout, stage)
    except DataError as error:
        yield judged("record", f"{layout.own(stage)}: can be read", [str(error)], "")
