"""Backbone, adapters, gate and projector, put together as a system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from thinkrec.cf.tensors import load_vectors
from thinkrec.config.sections import Gate, Prompt
from thinkrec.errors import ModelError
from thinkrec.experts.gate import GateRows, Kind, gate
from thinkrec.files import read_json
from thinkrec.layout import Layout
from thinkrec.llm.adapter import check_prompts, load_bank
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import Fuse
from thinkrec.llm.loss import Score
from thinkrec.llm.projector import Projector
from thinkrec.llm.scorer import Asked
from thinkrec.llm.student import Student, Vectors
from thinkrec.systems.parts import LANGUAGE
from thinkrec.systems.proof import prove_student


@dataclass(frozen=True)
class Fusion:
    """The gate's decisions for all users.

    Args:
        gates: [U + 1, K + 1], by user id; column 0 is the global LoRA.
        kinds: how many users of the data set were decided which way.
        vectors: of the encoder that the users were grouped by.
        fuse: how a user's experts are combined.
        decide: the gate, of user vectors [n, d].
        means: mean vectors of the experts, [K, d].
    """

    gates: torch.Tensor
    kinds: dict[str, int]
    vectors: Vectors
    fuse: Fuse
    decide: Callable[[np.ndarray], GateRows]
    means: np.ndarray

    def with_users(self, vectors: torch.Tensor) -> torch.Tensor:
        """Gates [U + 1 + n, K + 1] with further users behind the others, by their vectors [n, d]."""
        return torch.cat([self.gates, torch.from_numpy(self.decide(vectors.numpy()).weights)])


def load_fusion(layout: Layout, encoder: str, options: Gate) -> Fusion:
    """Apply the gate to every user.

    Raises:
        ModelError: the groups were made with another encoder.
    """
    made_with = read_json(layout.clusters / "clusters.json")["encoder"]
    if made_with != encoder:
        raise ModelError(
            f"{layout.clusters} was made with {made_with}, params.yaml (cluster.encoder) says {encoder}: run "
            f"`thinkrec cluster --dataset {layout.dataset}` and the stages after it again"
        )
    loaded = load_vectors(layout.encoder(encoder))
    means = load_file(layout.clusters / "means.safetensors")["means"].numpy()
    thresholds = (options.temperature, options.concentrated, options.averaged)

    def decide(vectors: np.ndarray) -> GateRows:
        return gate(vectors, means, *thresholds)

    decided = decide(loaded.user.numpy())
    kinds = {kind.name.lower(): int((decided.kind[1:] == kind).sum()) for kind in Kind}
    vectors = Vectors(loaded.user, loaded.item)
    return Fusion(torch.from_numpy(decided.weights), kinds, vectors, options.fusion, decide, means)


def load_student(
    layout: Layout,
    backbone: Backbone,
    users: Fusion | Vectors | None,
    name: str,
    probe: Asked,
    kind: Score,
    prompt: Prompt,
    projector: Projector | None = None,
) -> Student:
    """Put a system together from what was trained, and prove that every part of it is applied.

    Args:
        layout: where the parts of all variants lie, of the seed that is meant.
        backbone: loaded.
        users: the gate's decisions; of a system with vectors and no experts, those vectors; else None.
        name: of the system.
        probe: questions to this system, on which every adapter and the vectors must change scores.
        kind: which logits make the score.
        prompt: how the questions are laid out, as every adapter must have been trained.
        projector: for a system with vectors; None loads the trained one.

    Raises:
        ModelError: a part can't be read, does not fit the others, or changes no score.
    """
    parts, bank, gates = LANGUAGE[name], None, None
    layout = layout.of(parts.variant)
    folders: list[Path] = []
    if parts.adapters == "global":
        folders = [layout.global_adapter]
        bank = load_bank(folders, backbone)
    elif parts.adapters == "fused":
        assert isinstance(users, Fusion)
        folders = [layout.global_adapter, *(layout.expert(k) for k in range(1, users.gates.shape[1]))]
        bank, gates = load_bank(folders, backbone, users.fuse), users.gates
    for folder in folders:
        check_prompts(folder, prompt.layout)
    vectors = (users.vectors if isinstance(users, Fusion) else users) if parts.vectors else None
    if parts.vectors:
        projector = projector or Projector.load(layout.projector).to(backbone.head.device)
    student = Student(backbone, bank, gates, projector, vectors)
    prove_student(student, probe, kind, name)
    return student
