"""Untrained adapters and projectors in the place of those that were not trained yet: they cost as much."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from thinkrec.config.sections import Params
from thinkrec.layout import Layout

STAND_INS = ("global_adapter", "experts", "projector")


@contextmanager
def stood_in(layout: Layout, params: Params, needed: tuple[str, ...]) -> Iterator[tuple[Layout, list[str]]]:
    """A temporary folder that looks like the project, with links to what is there.

    Args:
        layout: where the artifacts lie.
        params: for the sizes of what is missing.
        needed: which of STAND_INS the stage reads.

    Yields:
        The layout of that folder, and the names of those that were missing.
    """
    missing = [name for name in needed if not getattr(layout, name).exists()]
    with TemporaryDirectory() as folder:
        other = Layout(layout.dataset, Path(folder))
        for real, place in ((layout.data, other.data), (layout.models, other.models)):
            place.mkdir(parents=True)
            for path in real.iterdir():
                if not path.name.startswith("."):  # checkpoints of a run that was cut off
                    (place / path.name).symlink_to(path.resolve())
        for name in missing:
            from thinkrec.costs.measure import forget_memory

            _MAKE[name](other, params)
            forget_memory()  # of the backbone, which the stage loads again
        yield other, missing


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
