"""The language model's systems: scores and reasons from prompts, proven to use every part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from thinkrec.config.sections import Evaluate
from thinkrec.llm.batches import Example, Packed
from thinkrec.llm.examples import asked_of, asked_one_by_one
from thinkrec.llm.generate import generate_reasons
from thinkrec.llm.loss import Score
from thinkrec.llm.scorer import Asked, score
from thinkrec.llm.student import Student, Vectors
from thinkrec.prompts.reception import Receptions
from thinkrec.prompts.render import PromptWriter
from thinkrec.protocols import Protocol
from thinkrec.systems.candidates import NOBODY, Candidates
from thinkrec.systems.encoders import EncoderSystem
from thinkrec.systems.fusion import load_student
from thinkrec.systems.parts import LANGUAGE
from thinkrec.systems.project import Project
from thinkrec.systems.proof import PROBE
from thinkrec.systems.registry import System


@dataclass(frozen=True)
class Scoring:
    """Candidates about to be scored by one system, laid out before it is done: a dry run costs it.

    Args:
        name: the system's.
        student: the system.
        writer: of its prompts.
        candidates: what is asked.
        size: scores of one forward pass.
        kind: which logits make the score.
    """

    name: str
    student: Student
    writer: PromptWriter
    candidates: Candidates
    size: int
    kind: Score

    @cached_property
    def asked(self) -> Asked:
        """What asks for the scores, many in a row where that pays."""
        asked = self.candidates
        return asked_of(self.writer, asked.data, asked.rows, asked.items)

    @cached_property
    def questions(self) -> Sequence[Example | Packed]:
        """One row of a batch for each candidate, for generation."""
        asked = self.candidates
        return asked_one_by_one(self.writer, asked.data, asked.rows, asked.items)


class LanguageModel:
    """One of the systems in `thinkrec.systems.parts.LANGUAGE`.

    Args:
        project: whose parts it is put together from.
        name: of the system.
        seed: of the training, where it is a further one; None for the first.
    """

    def __init__(self, project: Project, name: str, seed: int | None = None) -> None:
        """Keep them; parts are loaded when they are wanted."""
        self.project, self.name, self.seed, self.parts = project, name, seed, LANGUAGE[name]
        self.params = project.params.of_variant(self.parts.variant)

    @cached_property
    def student(self) -> Student:
        """Backbone, adapters and vectors, proven on a few test rows to be applied.

        Raises:
            DataError: there is no test row.
            ModelError: a part can't be read, does not fit, or changes no score.
        """
        project, params, parts = self.project, self.params, self.parts
        vectors = project.vectors if parts.vectors else None
        users = project.fusion if self._fused else vectors
        rows = project.data.rows("test")[:PROBE]
        probe = asked_of(self.writer(params.evaluate.headline), project.data, rows)
        kind, prompt = params.loss.score, params.prompt
        layout = project.layout.of_seed(self.seed)
        return load_student(layout, project.backbone, users, self.name, probe, kind, prompt)

    @cached_property
    def _writer(self) -> PromptWriter:
        tokenizer = self.project.backbone.tokenizer
        project, prompt = self.project, self.params.prompt
        receptions = Receptions(project.data) if prompt.reception else None
        return PromptWriter(project.items, prompt, tokenizer, self.parts.vectors, receptions=receptions)

    def writer(self, protocol: Protocol) -> PromptWriter:
        """The writer of its prompts, with histories of a protocol."""
        return self._writer.under(protocol)

    def prepare(self) -> None:
        """Load and prove every part now."""
        _ = self.student

    @property
    def history_length(self) -> int | None:
        """How many of the latest interactions the prompt shows; None where it looks for likes among all."""
        prompt = self.params.prompt
        return prompt.history_length if prompt.history_items == "all" else None

    def about_user(self, known: bool) -> str:
        """Say what a score knows of a user."""
        parts, encoder = self.parts, self.params.cluster.encoder
        own = [name for name, there in (("experts", self._fused), ("vector", parts.vectors)) if there]
        if not own:
            return "the history"
        if known:
            return f"the history, and the user's {' and '.join(own)}"
        if self._folds_in:
            return f"the history, and a vector that {encoder} makes of it"
        by = ", by the global LoRA alone" if self._fused else ""
        return f"the history{by}: {encoder} has no vector for a new user"

    @property
    def _fused(self) -> bool:
        return self.parts.adapters == "fused"

    @property
    def _folds_in(self) -> bool:
        """Whether the encoder that users are grouped by can make a vector of a history."""
        return not self._encoder.by_vectors

    @cached_property
    def _encoder(self) -> EncoderSystem:
        return EncoderSystem(self.project.layout.encoder(self.params.cluster.encoder))

    def plan(self, candidates: Candidates) -> Scoring:
        """Lay out what `score` does."""
        params = self.params
        size, kind = params.evaluate.batch_size, params.loss.score
        student = self.student
        if candidates.handed_in and (self._fused or self.parts.vectors) and self._folds_in:
            candidates, student = self._folded(candidates)
        return Scoring(self.name, student, self.writer(candidates.protocol), candidates, size, kind)

    def _folded(self, candidates: Candidates) -> tuple[Candidates, Student]:
        """Give somebody new the vector that the encoder makes of the history, and the gate's decision on it.

        Each history of NOBODY becomes a user behind those of the data set.
        """
        student, data = self.student, candidates.data
        moments = np.unique(candidates.rows[data.user_id[candidates.rows] == NOBODY])
        if not len(moments):
            return candidates, student
        vectors = self._encoder.model.row_vectors(data, moments, candidates.protocol).detach().cpu()
        gates = self.project.fusion.with_users(vectors) if self._fused else student.gates
        own = self.project.vectors
        more, known = Vectors(torch.cat([own.user, vectors]), own.item), len(own.user)
        user = data.user_id.copy()
        for number, moment in enumerate(moments.tolist(), known):
            user[moment - data.position[moment] : moment + 1] = number
        asked = replace(candidates, data=replace(data, user_id=user))
        shown = more if self.parts.vectors else None
        return asked, Student(student.backbone, student.bank, gates, student.projector, shown)

    def score(self, candidates: Candidates, show: str | None = None) -> np.ndarray:
        """Score candidates by the logits of the verdict, [n] float32.

        Args:
            candidates: what is asked.
            show: text of a progress bar.

        Raises:
            ModelError: a part can't be used, or a score is no finite number.
        """
        plan = self.plan(candidates)
        return score(plan.student, plan.student.backbone, plan.asked, plan.size, plan.kind, show=show)

    def mixtures(self, candidates: Candidates) -> np.ndarray | None:
        """Weights of the global LoRA and of each expert for each candidate, [n, K + 1]; None without any."""
        plan = self.plan(candidates)
        if not self._fused or (gates := plan.student.gates) is None:
            return None
        users = plan.candidates.data.user_id[plan.candidates.rows]
        weights: np.ndarray = gates[torch.from_numpy(users)].cpu().numpy()
        return weights

    def seeds(self) -> dict[int, System]:
        """The same trained with further seeds, by seed; the bare backbone is not trained."""
        if self.parts.adapters == "none":
            return {}
        trained = self.project.layout.of(self.parts.variant).seeds
        return {seed: LanguageModel(self.project, self.name, seed) for seed in trained}

    def reasons(
        self,
        candidates: Candidates,
        scores: np.ndarray,
        options: Evaluate,
        seed: int,
        journal: Path | None = None,
    ) -> list[str]:
        """Generate a verdict and a reason for each candidate; see `thinkrec.llm.generate`.

        Args:
            candidates: n of them.
            scores: their own, [n]; the verdict is on their side, where a score's sign says which that is.
            options: of the generation.
            seed: of the sampling.
            journal: of finished batches.
        """
        plan = self.plan(candidates)
        sides = (scores > 0).tolist() if plan.kind == "yes_minus_no" else None
        return generate_reasons(plan.student, plan.questions, options, seed, journal, sides)
