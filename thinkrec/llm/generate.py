"""Reasons in words: what the student says after its verdict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tqdm import tqdm
from transformers import GenerationConfig

from thinkrec.config.sections import Evaluate
from thinkrec.llm.batches import Example, by_length, collate
from thinkrec.llm.student import Student


@torch.no_grad()
def generate_reasons(
    student: Student, examples: Sequence[Example], options: Evaluate, seed: int
) -> list[str]:
    """Generate an answer to each prompt, verdict first, in the order given.

    Prompts are padded on the left as embeddings, so projected vectors and per-row mixtures work as in
    scoring; penalties for repetition look at generated tokens only.

    Args:
        student: backbone with what is on top of it.
        examples: prompts without an answer.
        options: batch size, tokens, temperature, repetition penalty.
        seed: of the sampling.

    Source: settings of the release.
    """
    tokenizer, model = student.backbone.tokenizer, student.backbone.model
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
    torch.manual_seed(seed)
    texts = [""] * len(examples)
    bar = tqdm(total=len(examples), desc="reasons", unit="row")
    for index in by_length(examples, options.batch_size):
        batch = collate([examples[number] for number in index], student.backbone.pad).to(student.device)
        embedded, length = student.embed(batch), batch.ids.shape[1]
        shift = length - batch.end
        place = torch.arange(length, device=student.device)[None, :] - shift[:, None]
        mask = (place >= 0).long()
        left = embedded.gather(1, place.clamp_min(0)[..., None].expand_as(embedded))
        with student.mixed(batch):
            ids = model.generate(  # type: ignore[operator]
                inputs_embeds=left, attention_mask=mask, generation_config=config
            )
        for number, text in zip(index, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            texts[number] = " ".join(text.split())
        bar.update(len(index))
    bar.close()
    return texts
