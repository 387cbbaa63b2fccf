"""Untrained adapters and projectors in the place of those that were not trained yet: they cost as much."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from thinkrec.config.sections import Params
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import named

STAND_INS = ("global_adapter", "experts", "projector")


@contextmanager
def stood_in(layout: Layout, params: Params, needed: Iterable[str]) -> Iterator[tuple[Layout, list[str]]]:
    """A temporary folder that looks like the project, with links to what is there.

    Args:
        layout: where the artifacts lie.
        params: for the sizes of what is missing.
        needed: which adapters and projectors the stage reads, by their names in the table of stages.

    Yields:
        The layout of that folder, and the names of those that were missing.
    """
    missing = sorted((name for name in needed if not path_of(layout, name).exists()), key=_order)
    with TemporaryDirectory() as folder:
        other = Layout(layout.dataset, Path(folder), layout.variant)
        _link(layout.data, other.data)
        _link(layout.models, other.models, but=other.adapters)
        for variant in layout.adapters.iterdir() if layout.adapters.exists() else ():
            _link(variant, other.adapters / variant.name)
        for name in missing:
            from thinkrec.costs.measure import forget_memory

            place = other.of(named(name).variant or other.variant)
            place.global_adapter.parent.mkdir(parents=True, exist_ok=True)
            _MAKE[named(name).artifact](place, params)
            forget_memory()  # of the backbone, which the stage loads again
        yield other, missing


def _order(name: str) -> int:
    return STAND_INS.index(named(name).artifact)


def _link(real: Path, place: Path, but: Path | None = None) -> None:
    """Link what lies in a folder into another one."""
    place.mkdir(parents=True)
    for path in real.iterdir():
        if not path.name.startswith(".") and place / path.name != but:  # .work: checkpoints of a stopped run
            (place / path.name).symlink_to(path.resolve())


def _global(layout: Layout, params: Params) -> None:
    import torch

    from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
    from thinkrec.llm.backbone import load_backbone

    backbone = load_backbone(layout.backbone)
    fresh = new_adapter(backbone, params.global_.lora, params.seed)
    with torch.no_grad():
        for name, weight in fresh.named_parameters():
            if "lora_B" in name:  # zero at first, and so nothing that the proof of adapters could see
                weight.normal_(std=0.02)
    save_adapter(fresh, layout.global_adapter, origin_of(backbone))


def _experts(layout: Layout, params: Params) -> None:
    groups = pq.read_table(layout.clusters / "groups.parquet")["group"].to_numpy()
    for number in range(1, int(groups.max()) + 1):
        shutil.copytree(layout.global_adapter, layout.expert(number))


def _projector(layout: Layout, params: Params) -> None:
    from thinkrec.cf.vectors import Arrays
    from thinkrec.llm.backbone import load_backbone
    from thinkrec.llm.projector import Projector

    width = Arrays.load(layout.encoder(params.cluster.encoder)).user.shape[1]
    hidden = load_backbone(layout.backbone).head.shape[1]
    layout.projector.mkdir()
    Projector(width, hidden, params.projector.expansion).save(layout.projector)


_MAKE = {"global_adapter": _global, "experts": _experts, "projector": _projector}
