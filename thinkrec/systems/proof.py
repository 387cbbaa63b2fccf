"""Guarantee 2: whatever was put on the backbone changes its scores, or it is an error."""

from __future__ import annotations

import numpy as np
import torch
from peft import PeftModel

from thinkrec.llm.backbone import Backbone
from thinkrec.llm.loss import Score
from thinkrec.llm.scorer import Asked, check_applied, score
from thinkrec.llm.student import Student, Vectors, hidden_states

PROBE = 4  # rows on which every adapter must prove that it is applied


def prove_student(student: Student, asked: Asked, kind: Score, name: str) -> None:
    """Prove on a few rows that every adapter by itself, their fusion and the vectors change scores.

    Args:
        student: the system.
        asked: the probe, at least one row; PROBE are plenty.
        kind: which logits make the score.
        name: of the system, for the error.

    Raises:
        DataError: the probe is empty.
        ModelError: an adapter, their fusion or the projector changes no score.
    """
    loaded, bank, gates = student.backbone, student.bank, student.gates
    projector, vectors = student.projector, student.vectors

    def probe(other: Student) -> np.ndarray:
        return score(other, loaded, asked, len(asked), kind)

    scores = probe(student) if bank is not None or vectors is not None else np.empty(0)
    if bank is not None:
        bare = probe(Student(loaded, projector=projector, vectors=vectors))
        check_applied(scores, bare, f"the fusion of {name}")
        for column in range(bank.size if gates is not None else 0):
            assert gates is not None
            alone = torch.zeros_like(gates)
            alone[:, column] = 1
            what = f"expert {column}" if column else "the global adapter"
            check_applied(probe(Student(loaded, bank, alone, projector, vectors)), bare, f"{what} of {name}")
    if vectors is not None:
        blind = Vectors(torch.zeros_like(vectors.user), torch.zeros_like(vectors.item))
        check_applied(
            scores, probe(Student(loaded, bank, gates, projector, blind)), f"the projector of {name}"
        )


def prove_peft(model: PeftModel, backbone: Backbone, asked: Asked, kind: Score, what: str) -> None:
    """Prove on a few rows that the adapter of a PEFT model changes scores.

    Args:
        model: the adapter on the backbone.
        backbone: for head, answers and padding.
        asked: the probe, at least one row; PROBE are plenty.
        kind: which logits make the score.
        what: is proven, for the error.

    Raises:
        DataError: the probe is empty.
        ModelError: the adapter changes no score.
    """

    def probe() -> np.ndarray:
        return score(lambda batch: hidden_states(model, batch, backbone), backbone, asked, len(asked), kind)

    training = model.training
    model.eval()  # dropout would make scores differ by itself
    adapted = probe()
    with model.disable_adapter():
        bare = probe()
    model.train(training)
    check_applied(adapted, bare, what)
