"""Reasons in words: what the student says after its verdict."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from thinkrec.config.sections import Evaluate
from thinkrec.journal import Journal
from thinkrec.llm.batches import NOWHERE, Example, Packed, Places, by_length, collate
from thinkrec.llm.memory import fitting
from thinkrec.llm.scorer import too_large
from thinkrec.llm.settings import own_settings
from thinkrec.llm.student import Student, masked
from thinkrec.progress import Bar

log = logging.getLogger(__name__)


class AnswerOnly(LogitsProcessor):
    """Shows another processor the answer alone.

    Args:
        inner: the other.
        length: of the prompts, padding included.
    """

    def __init__(self, inner: LogitsProcessor, length: int) -> None:
        """Keep both."""
        self.inner, self.length = inner, length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """What the other makes of the next token's logits, [B, V]."""
        found: Tensor = self.inner(input_ids[:, self.length :], scores)
        return found


def generate_reasons(
    student: Student,
    rows: Sequence[Example | Packed],
    options: Evaluate,
    seed: int,
    journal: Path | None = None,
) -> list[str]:
    """Generate an answer to each row's one question, verdict first, in the order given.

    Each batch draws from its own random numbers and is written to the journal when it is done, so that a
    generation that was cut off goes on to the same texts. Where memory does not suffice for a batch it is
    drawn anew in halves, which is logged.

    Args:
        student: backbone with what is on top of it.
        rows: prompts or time lines without an answer, all of one kind.
        options: batch size, tokens, temperature (0: the likeliest token each), repetition penalty.
        seed: of the sampling.
        journal: JSON lines of what is done, of this very generation; made where it is missing.

    Raises:
        ModelError: memory does not suffice for one row.

    Source: settings of the release.
    """
    kept = Journal(journal)
    texts = dict(pair for batch in kept.read(_batch) for pair in batch)
    if texts:
        log.info("resuming after %d of %d reasons", len(texts), len(rows))
    with Bar(total=len(rows), initial=len(texts), desc="evaluate: reasons", unit="row") as bar:
        for number, index in enumerate(by_length(rows, options.batch_size)):
            if int(index[0]) in texts:
                continue
            said = _said(student, [rows[k] for k in index], options, seed * 1_000_003 + number)
            texts |= dict(zip(index.tolist(), said, strict=True))
            kept.add([json.dumps([index.tolist(), said])])
            bar.update(len(index))
    return [texts[number] for number in range(len(rows))]


def _batch(line: bytes) -> list[tuple[int, str]]:
    """Numbers and texts of a line of the journal."""
    return list(zip(*json.loads(line), strict=True))


def _said(student: Student, rows: Sequence[Example | Packed], options: Evaluate, seed: int) -> list[str]:
    """Texts of one batch: they depend on the rows, the seed and how many fit into memory at a time alone."""

    def drawn(size: int) -> list[str]:
        found: list[str] = []
        if options.temperature:
            torch.manual_seed(seed)
        for first in range(0, len(rows), size):
            ids = _generated(student, rows[first : first + size], options)
            found += student.backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [" ".join(text.split()) for text in found]

    def smaller(size: int) -> int:
        if size == 1:
            raise too_large(rows)
        log.warning("out of memory with %d rows of a batch: half as many", size)
        return -(-size // 2)

    return fitting(drawn, len(rows), smaller)[0]


def _settings(student: Student, options: Evaluate) -> GenerationConfig:
    """How to sample; what looks at tokens said before is in `_penalties`."""
    sampled = {"temperature": options.temperature, "top_k": 0} if options.temperature else {}
    return GenerationConfig(
        do_sample=bool(sampled),
        **sampled,
        max_new_tokens=options.max_reason_tokens,
        eos_token_id=student.backbone.tokenizer.eos_token_id,
        pad_token_id=student.backbone.pad,
    )


def _penalties(options: Evaluate, length: int) -> LogitsProcessorList:
    """What keeps answers behind prompts of this length from repeating themselves."""
    found: list[LogitsProcessor] = []
    if options.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
    if options.no_repeat_ngram_size:
        found.append(NoRepeatNGramLogitsProcessor(options.no_repeat_ngram_size))
    return LogitsProcessorList(AnswerOnly(each, length) for each in found)


@torch.no_grad()
def _generated(student: Student, rows: Sequence[Example | Packed], options: Evaluate) -> Tensor:
    """Token ids of the answers, [B, at most max_reason_tokens].

    Rows are padded on the left. All but their last tokens go through the backbone as in scoring, as
    embeddings and with the same mask; generation goes on from what they left in the cache. The ids it is
    given stand for them without being read; penalties for repetition look at the answer alone.
    """
    model, pad = student.backbone.model, student.backbone.pad
    batch = collate(rows, pad).to(student.device)
    embedded, length = student.embed(batch), batch.ids.shape[1]
    place = torch.arange(length, device=student.device) - (length - batch.end)[:, None]
    there, source = place >= 0, place.clamp_min(0)
    left = embedded.gather(1, source[..., None].expand_as(embedded))
    block = torch.zeros_like(source)
    columns = (source, block, torch.full_like(source, NOWHERE), block.bool())
    if batch.places is not None:
        own = batch.places
        columns = tuple(  # type: ignore[assignment]
            each.gather(1, source) for each in (own.position, own.block, own.reach, own.shared)
        )
    position, block, reach, shared = columns
    places = Places(position, block.masked_fill(~there, -1), reach, shared & there)
    seen = Places(*(each[:, :-1] for each in vars(places).values()))
    ids = torch.full_like(batch.ids, pad)
    ids[:, -1] = batch.ids[torch.arange(len(rows), device=student.device), batch.end - 1]
    with student.mixed(batch), own_settings(model):
        done = model.model(inputs_embeds=left[:, :-1], use_cache=True, **masked(seen, model))
        found: Tensor = model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=there.long(), past_key_values=done.past_key_values,
            generation_config=_settings(student, options), logits_processor=_penalties(options, length),
        )  # fmt: skip
    return found[:, length:] if found.shape[1] > length else found[:, :0]
