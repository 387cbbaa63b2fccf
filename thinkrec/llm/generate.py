"""Generate the student's reasons: the text after its verdict."""

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
from thinkrec.llm.decoding import ReasonAsShown
from thinkrec.llm.memory import fitting
from thinkrec.llm.scorer import too_large
from thinkrec.llm.settings import own_settings
from thinkrec.llm.shown import quoted
from thinkrec.llm.student import Student, masked
from thinkrec.llm.untrue import without_untrue
from thinkrec.progress import Bar
from thinkrec.wanted import check_wanted

log = logging.getLogger(__name__)


class AnswerOnly(LogitsProcessor):
    """Applies another processor to the answer alone, without the prompt.

    Args:
        inner: the other processor.
        length: of the prompts, padding included.
    """

    def __init__(self, inner: LogitsProcessor, length: int) -> None:
        """Keep the processor and the length."""
        self.inner, self.length = inner, length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the processed logits of the next token, [B, V]."""
        found: Tensor = self.inner(input_ids[:, self.length :], scores)
        return found


class WhileWanted(LogitsProcessor):
    """Ends a generation that nobody waits for any more, by an error."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of the next token unchanged, [B, V]."""
        check_wanted()
        return scores


class VerdictFirst(LogitsProcessor):
    """Begins every answer with the score's side, Yes or No; the rest is sampled.

    A sampled verdict would explain the other side of an uncertain score. Our choice.

    Args:
        answers: token ids of Yes and No.
        length: of the prompts, padding included.
        sides: of each row, [B] bool, true for Yes; None takes the likelier.
    """

    def __init__(self, answers: tuple[int, int], length: int, sides: Sequence[bool] | None = None) -> None:
        """Keep the tokens, the length and the sides."""
        self.answers, self.length, self.sides = list(answers), length, sides

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of the next token, [B, V]; for the first one all but the verdict's are -inf."""
        if input_ids.shape[1] > self.length:
            return scores
        yes, no = scores[:, self.answers].float().unbind(1)
        against = yes <= no if self.sides is None else ~torch.tensor(self.sides, device=scores.device)
        chosen = torch.tensor(self.answers, device=scores.device)[against.long()][:, None]
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def generate_reasons(
    student: Student,
    rows: Sequence[Example | Packed],
    options: Evaluate,
    seed: int,
    journal: Path | None = None,
    sides: Sequence[bool] | None = None,
) -> list[str]:
    """Generate the answer to each row, in the order given: a verdict, then a sampled reason.

    A reason quotes titles and keywords as its prompt shows them, see `ReasonAsShown`; what the prompt
    shows otherwise is left out, see `without_untrue`.

    Each batch has its own random numbers and is written to the journal when it is done, so that an
    interrupted generation resumes with the same texts. A batch that runs out of memory is generated again in
    halves, which is logged.

    Args:
        student: backbone with adapters and projector.
        rows: prompts or timelines without an answer, all of one kind, with one question each.
        options: batch size, tokens, temperature (0 decodes greedily), repetition penalty.
        seed: of the sampling.
        journal: JSON lines of finished batches of this generation; created if missing.
        sides: whether each answer begins with Yes; None takes the likelier verdict.

    Raises:
        ModelError: a single row runs out of memory.
        UnwantedError: between tokens, where nobody waits any more.

    Source: settings of the release; the verdict by `VerdictFirst`.
    """
    kept = Journal(journal)
    texts = dict(pair for batch in kept.read(_batch) for pair in batch)
    if texts:
        log.info("resuming after %d of %d reasons", len(texts), len(rows))
    with Bar(total=len(rows), initial=len(texts), desc="reasons", unit="row") as bar:
        for number, index in enumerate(by_length(rows, options.batch_size)):
            if int(index[0]) in texts:
                continue
            given = None if sides is None else [sides[k] for k in index]
            said = _said(student, [rows[k] for k in index], options, seed * 1_000_003 + number, given)
            texts |= dict(zip(index.tolist(), said, strict=True))
            kept.add([json.dumps([index.tolist(), said])])
            bar.update(len(index))
    return [texts[number] for number in range(len(rows))]


def _batch(line: bytes) -> list[tuple[int, str]]:
    """Return numbers and texts of a journal line."""
    return list(zip(*json.loads(line), strict=True))


def _said(
    student: Student,
    rows: Sequence[Example | Packed],
    options: Evaluate,
    seed: int,
    sides: Sequence[bool] | None,
) -> list[str]:
    """Return the texts of one batch; they depend only on the rows, the seed and how many fit into memory."""

    tokenizer = student.backbone.tokenizer
    prompts = tokenizer.batch_decode([row.ids for row in rows], clean_up_tokenization_spaces=False)

    def drawn(size: int) -> list[str]:
        found: list[str] = []
        if options.temperature:
            torch.manual_seed(seed)
        for first in range(0, len(rows), size):
            part = slice(first, first + size)
            given = None if sides is None else sides[part]
            ids = _generated(student, rows[part], prompts[part], options, given)
            found += tokenizer.batch_decode(ids, skip_special_tokens=True)
        texts = (" ".join(text.split()) for text in found)
        return [without_untrue(text, quoted(prompt)) for text, prompt in zip(texts, prompts, strict=True)]

    def smaller(size: int) -> int:
        if size == 1:
            raise too_large(rows)
        log.warning("out of memory with %d rows of a batch: half as many", size)
        return -(-size // 2)

    return fitting(drawn, len(rows), smaller)[0]


def _settings(student: Student, options: Evaluate) -> GenerationConfig:
    """Return the sampling settings; for repetition see `_processors`."""
    sampled = {"temperature": options.temperature, "top_k": 0} if options.temperature else {}
    return GenerationConfig(
        do_sample=bool(sampled),
        **sampled,
        max_new_tokens=options.max_reason_tokens,
        eos_token_id=student.backbone.tokenizer.eos_token_id,
        pad_token_id=student.backbone.pad,
    )


def _processors(
    student: Student, options: Evaluate, prompts: Sequence[str], length: int, sides: Sequence[bool] | None
) -> LogitsProcessorList:
    """Return the end of unwanted work, penalties for repetition, and the choice of quotes and of the verdict.

    Args:
        student: whose tokens.
        options: penalties.
        prompts: as text, [B].
        length: of the prompts in tokens, padding included.
        sides: see `generate_reasons`.
    """
    found: list[LogitsProcessor] = []
    if options.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
    if options.no_repeat_ngram_size:
        found.append(NoRepeatNGramLogitsProcessor(options.no_repeat_ngram_size))
    answered = [AnswerOnly(each, length) for each in found]
    quotes = ReasonAsShown(student.backbone.tokenizer, prompts, length, answered)
    verdict = VerdictFirst(student.backbone.answers, length, sides)
    return LogitsProcessorList([WhileWanted(), quotes, verdict])


@torch.no_grad()
def _generated(
    student: Student,
    rows: Sequence[Example | Packed],
    prompts: Sequence[str],
    options: Evaluate,
    sides: Sequence[bool] | None,
) -> Tensor:
    """Return the token ids of the answers, [B, at most max_reason_tokens].

    Rows are padded on the left. All tokens but the last are run through the backbone as in scoring, as
    embeddings and with the same mask; generation continues from their cached keys and values. The prompt ids
    passed to `generate` are placeholders; penalties for repetition see the answer alone.
    """
    model, pad = student.backbone.model, student.backbone.pad
    batch = collate(rows, pad).to(student.device)
    embedded, length = student.embed(batch), batch.ids.shape[1]
    # Move padding from the right to the left: column t reads from column t - (length - end) of its row.
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
            generation_config=_settings(student, options),
            logits_processor=_processors(student, options, prompts, length, sides),
        )  # fmt: skip
    return found[:, length:] if found.shape[1] > length else found[:, :0]
