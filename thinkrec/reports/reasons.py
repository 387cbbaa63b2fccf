"""Reasons of all systems that can say why, measured beside floors and the teacher asked twice, from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkrec.config.sections import Params, Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.layout import MINILM, WORDNET, Layout
from thinkrec.llm.examples import Rationales
from thinkrec.metrics.reasons.keywords import Keywords
from thinkrec.metrics.reasons.measure import Told, Tools, text_metrics
from thinkrec.metrics.reasons.names import AGAIN, COMMON, NEAREST
from thinkrec.metrics.reasons.summary import Score, absent
from thinkrec.metrics.reasons.titles import Catalogue
from thinkrec.prompts.escape import TITLE, bounded
from thinkrec.prompts.keywords import shown_keywords
from thinkrec.protocols import Protocol
from thinkrec.reports.reason_floors import commonest, nearest
from thinkrec.systems.parts import LANGUAGE

Measured = dict[str, dict[str, Score]]


@dataclass(frozen=True)
class Spoken:
    """What one system said. Shapes: n rows.

    Args:
        texts: n reasons, verdict first.
        scores: the system's scores of the same rows, n logits; None of floors.
    """

    texts: Sequence[str]
    scores: Sequence[float] | None = None


@dataclass(frozen=True)
class _Ground:
    """What all reasons are held against. Shapes: n rows; hinted: [n], None where it is not known."""

    layout: Layout
    data: Interactions
    titles: list[str]
    keywords: list[list[str]]
    rows: np.ndarray
    references: Sequence[str]
    hinted: list[bool | None]
    protocol: Protocol
    teachers: set[str]

    def of_titles(self) -> dict[str, list[str]]:
        """Return the keywords of all items with a title."""
        found: dict[str, list[str]] = {}
        for title, words in zip(self.titles, self.keywords, strict=True):
            found.setdefault(title, []).extend(words)
        return found

    def told(self, spoken: Spoken, prompt: Prompt) -> list[Told]:
        """Put what one system said beside its row's reference and prompt."""
        data, titles = self.data, self.titles
        shown = [
            f"{title} {' '.join(shown_keywords(title, words, prompt.keywords))}"
            for title, words in zip(titles, self.keywords, strict=True)
        ]
        found = []
        for k, row in enumerate(self.rows.tolist()):
            past = data.history(row, prompt.history_length, self.protocol, prompt.history_items)
            items, labels = data.item_id[past].tolist(), (data.label[past] == 1).tolist()
            history = tuple((titles[item], liked) for item, liked in zip(items, labels, strict=True))
            score = None if spoken.scores is None else float(spoken.scores[k])
            found.append(
                Told(
                    spoken.texts[k], self.references[k], int(data.user_id[row]), score, history,
                    titles[data.item_id[row]], self.hinted[k],
                    " ".join(shown[item] for item in [*items, int(data.item_id[row])]),
                )
            )  # fmt: skip
        return found


def _ground(
    layout: Layout, data: Interactions, rows: np.ndarray, references: Sequence[str], protocol: Protocol
) -> _Ground:
    table = pq.read_table(layout.rationales, columns=["user_id", "position", "hinted", "teacher"])
    columns = table.to_pydict()
    known = dict(
        zip(zip(columns["user_id"], columns["position"], strict=True), columns["hinted"], strict=True)
    )
    places = zip(data.user_id[rows].tolist(), data.position[rows].tolist(), strict=True)
    items = Items.load(layout.items, layout.keywords)
    titles = [bounded(title, TITLE) for title in items.title]
    hinted = [known.get(place) for place in places]
    return _Ground(
        layout, data, titles, items.keywords, rows, references, hinted, protocol, set(columns["teacher"])
    )


def reason_metrics(
    layout: Layout,
    data: Interactions,
    params: Params,
    rows: np.ndarray,
    references: Sequence[str],
    spoken: Mapping[str, Spoken],
    seed: int,
) -> Measured:
    """Measure reasons of systems, floors and the teacher asked twice, all against the same references.

    Prompts count with all of their history, also where one was shortened to `prompt.max_tokens`.

    Args:
        layout: where items, rationales, corpora and models lie.
        data: the interactions.
        params: the prompts, the bootstrap, the models.
        rows: of the interactions, [n], the same for all systems.
        references: the teacher's texts, n.
        spoken: system -> what it said; the floor that follows a score follows the first system's.
        seed: of the bootstrap, and of the teacher's second answers (plus 1).

    Returns:
        system, then floors and ceiling -> metric -> as in `text_metrics`; empty without rows or systems.
    """
    if not len(rows) or not spoken:
        return {}
    options = params.evaluate
    sentences = layout.root / (options.sentence_model or MINILM)
    tools = Tools.load(layout.root / WORDNET, sentences, options.bleurt)
    ground = _ground(layout, data, rows, references, options.headline)
    catalogue, keywords = Catalogue(ground.titles), Keywords(ground.of_titles())

    def measured(said: Spoken, prompt: Prompt) -> dict[str, Score]:
        told = ground.told(said, prompt)
        return text_metrics(told, catalogue, keywords, tools, options.bootstrap_draws, seed)

    found = {name: measured(said, _prompt_of(params, name)) for name, said in spoken.items()}
    for name, texts in _floors(ground, params, next(iter(spoken.values()))).items():
        found[name] = measured(Spoken(texts), params.prompt)
    metrics = next(iter(found.values()))
    again = _asked_again(ground, params, seed)
    missing = again if isinstance(again, str) else None
    found[AGAIN] = (
        {name: absent(missing) for name in metrics}
        if missing is not None
        else measured(Spoken(again), params.prompt)
    )
    return found


def _prompt_of(params: Params, system: str) -> Prompt:
    return params.of_variant(LANGUAGE[system].variant).prompt if system in LANGUAGE else params.prompt


def _floors(ground: _Ground, params: Params, first: Spoken) -> dict[str, list[str]]:
    known = Rationales.load(ground.layout, ground.data, "train")
    if not known.texts:
        return {}
    scores = [1.0] * len(ground.rows) if first.scores is None else first.scores
    liked = np.array([score > 0 for score in scores], dtype=bool)
    return {
        COMMON: [commonest(known.texts)] * len(ground.rows),
        NEAREST: nearest(
            ground.data, known, ground.rows, liked, params.prompt.history_length, ground.protocol
        ),
    }


def _asked_again(ground: _Ground, params: Params, seed: int) -> list[str] | str:
    """Return the teacher's second answers with another seed, n texts, or why there are none."""
    if ground.teachers != {"template"}:
        return "the teacher is an endpoint, whose second answers cost time and money: evaluate asks none"
    from thinkrec.teachers.cases import make_cases
    from thinkrec.teachers.reflect import reason_with
    from thinkrec.teachers.template import TemplateTeacher

    items = Items.load(ground.layout.items, ground.layout.keywords)
    cases = make_cases(ground.data, items, ground.rows, params.prompt, ground.protocol)
    labels = ground.data.label[ground.rows].tolist()
    teacher, attempts = TemplateTeacher(seed + 1), params.synthesize.attempts
    pairs = zip(cases, labels, strict=True)
    return [reason_with(teacher, case, bool(label), attempts, seed + 1).text for case, label in pairs]


def spoken_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Spoken]:
    """Return what each system said, from the lines of reasons.jsonl."""
    systems = dict.fromkeys(line["system"] for line in lines)
    own = {name: [line for line in lines if line["system"] == name] for name in systems}
    return {
        name: Spoken([line["reason"] for line in each], [line["score"] for line in each])
        for name, each in own.items()
    }


def comparable(one: Measured, other: Measured) -> tuple[Measured, Measured]:
    """Return both without what only one of them could measure: WordNet or a model came or went between.

    METEOR with and without WordNet bear different names, so each is left out where the other has none.
    """

    def both(system: str, metric: str) -> bool:
        found = [each[system].get(metric) for each in (one, other)]
        return all(value is not None and ("rows" in value or "reason" not in value) for value in found)

    if one.keys() != other.keys():
        return one, other
    kept = {
        system: [name for name in {**one[system], **other[system]} if both(system, name)] for system in one
    }
    first, second = (
        {system: {name: each[system][name] for name in names} for system, names in kept.items()}
        for each in (one, other)
    )
    return json.loads(json.dumps(first)), json.loads(json.dumps(second))
