"""What systems of one data set share: tables, backbone, gate; each read once, when it is wanted."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import Layout
from thinkrec.systems.registry import System, entry

if TYPE_CHECKING:
    from thinkrec.llm.backbone import Backbone
    from thinkrec.llm.student import Vectors
    from thinkrec.metrics.floors import Floors
    from thinkrec.systems.fusion import Fusion


class Project:
    """A data set's artifacts and the parameters that they were made with.

    Args:
        layout: where they lie.
        params: all of params.yaml.
        data: the interactions, where they were read already.
    """

    def __init__(self, layout: Layout, params: Params, data: Interactions | None = None) -> None:
        """Keep them; nothing else is read yet."""
        self.layout, self.params = layout, params
        self._systems: dict[str, System] = {}
        if data is not None:
            self.data = data

    @cached_property
    def data(self) -> Interactions:
        """All interactions."""
        return Interactions.load(self.layout.interactions)

    @cached_property
    def items(self) -> Items:
        """Titles, and keywords where there are some: only the language model's systems need them."""
        keywords = self.layout.keywords
        return Items.load(self.layout.items, keywords if keywords.exists() else None)

    @cached_property
    def floors(self) -> Floors:
        """What needs no model."""
        from thinkrec.metrics.floors import Floors

        return Floors.fit(self.data)

    @cached_property
    def backbone(self) -> Backbone:
        """The language model under the adapters.

        Raises:
            ModelError: it can't be used.
        """
        from thinkrec.llm.backbone import load_backbone

        return load_backbone(self.layout.backbone)

    @cached_property
    def fusion(self) -> Fusion:
        """The gate's decision for every user.

        Raises:
            ModelError: the groups were made with another encoder.
        """
        from thinkrec.systems.fusion import load_fusion

        return load_fusion(self.layout, self.params.cluster.encoder, self.params.gate)

    @cached_property
    def vectors(self) -> Vectors:
        """The collaborative vectors that stand in prompts.

        Raises:
            ModelError: they can't be read.
        """
        from thinkrec.cf.tensors import load_vectors
        from thinkrec.llm.student import Vectors

        loaded = load_vectors(self.layout.encoder(self.params.cluster.encoder))
        return Vectors(loaded.user, loaded.item)

    def system(self, name: str) -> System:
        """Load a system, once.

        Raises:
            ConfigError: the registry has none of that name.
            ModelError: a part of it can't be used.
        """
        if name not in self._systems:
            self._systems[name] = entry(name).load(self)
        return self._systems[name]
