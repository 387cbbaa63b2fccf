"""Reasons in words: what the student says after its verdict."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import GenerationConfig

from thinkrec.config.sections import Evaluate
from thinkrec.llm.batches import NOWHERE, Example, Packed, Places, by_length, collate
from thinkrec.llm.student import Student, masked

log = logging.getLogger(__name__)


def generate_reasons(
    student: Student,
    rows: Sequence[Example | Packed],
    options: Evaluate,
    seed: int,
    journal: Path | None = None,
) -> list[str]:
    """Generate an answer to each row's one question, verdict first, in the order given.

    Each batch draws from its own random numbers and is written to the journal when it is done, so that a
    generation that was cut off goes on to the same texts.

    Args:
        student: backbone with what is on top of it.
        rows: prompts or time lines without an answer, all of one kind.
        options: batch size, tokens, temperature, repetition penalty.
        seed: of the sampling.
        journal: JSON lines of what is done, of this very generation; made where it is missing.

    Source: settings of the release.
    """
    tokenizer = student.backbone.tokenizer
    config = GenerationConfig(
        do_sample=True,
        temperature=options.temperature,
        top_k=0,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram,
        max_new_tokens=options.reason_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=student.backbone.pad,
    )
    texts = _done(journal)
    if texts:
        log.info("going on after %d of %d reasons", len(texts), len(rows))
    with tqdm(total=len(rows), initial=len(texts), desc="reasons", unit="row") as bar:
        for number, index in enumerate(by_length(rows, options.batch_size)):
            if int(index[0]) in texts:
                continue
            torch.manual_seed(seed * 1_000_003 + number)
            ids = _generated(student, [rows[k] for k in index], config)
            said = [" ".join(text.split()) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
            texts |= dict(zip(index.tolist(), said, strict=True))
            if journal:
                journal.parent.mkdir(parents=True, exist_ok=True)
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([index.tolist(), said]) + "\n")
            bar.update(len(index))
    return [texts[number] for number in range(len(rows))]


def _done(journal: Path | None) -> dict[int, str]:
    """Texts by row's number; a line that was cut off ends the journal."""
    found: dict[int, str] = {}
    if journal is None or not journal.exists():
        return found
    whole = 0
    with journal.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            numbers, said = json.loads(line)
            found |= dict(zip(numbers, said, strict=True))
        file.truncate(whole)
    return found


@torch.no_grad()
def _generated(student: Student, rows: Sequence[Example | Packed], config: GenerationConfig) -> Tensor:
    """Token ids of the answers, [B, at most max_new_tokens].

    Rows are padded on the left. All but their last tokens go through the backbone as in scoring, as
    embeddings and with the same mask; generation goes on from what they left in the cache. The ids it is
    given stand for them without being read, so that penalties for repetition look at the answer alone.
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
    with student.mixed(batch):
        done = model.model(inputs_embeds=left[:, :-1], use_cache=True, **masked(seen, model))
        found: Tensor = model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=there.long(), past_key_values=done.past_key_values,
            generation_config=config,
        )  # fmt: skip
    return found[:, length:] if found.shape[1] > length else found[:, :0]
