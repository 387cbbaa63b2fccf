"""Small random backbones of other families, with tokenizers trained here, and adapters for them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from small_llama import train_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
from torch import nn
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from thinkrec.config.sections import Lora, Prompt
from thinkrec.data.tables import Interactions, Items
from thinkrec.files import write_json
from thinkrec.llm.adapter import new_adapter, origin_of, save_adapter
from thinkrec.llm.backbone import Backbone, load_backbone
from thinkrec.llm.batches import Example
from thinkrec.llm.examples import score_examples_of
from thinkrec.prompts.render import PromptWriter

TEXTS = [
    "The user's history, oldest first: Liked Disliked Rated Next",
    "Will the user like the next item? Answer Yes or No, then explain why.",
    "The harbour and the lighthouse (tide, anchor). Yes. No. Yes No",
]
INST = "{{ bos_token }}{% for message in messages %}[INST] {{ message.content }} [/INST]{% endfor %}"


def bpe_of_words(texts: list[str] = TEXTS, answers: int = 40) -> PreTrainedTokenizerFast:
    """A tokenizer as Mistral's: spaces as U+2581, bytes as fallback, [INST] in the chat template."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    words = [word for text in texts for word in text.split()] * 3 + ["Yes", "No"] * answers
    tokenizer.train_from_iterator(words, trainer)
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    for byte in range(256):  # as the real ones have them: entries of the vocabulary, not added tokens
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=[AddedToken("[INST]"), AddedToken("[/INST]")],
    )  # fmt: skip
    fast.chat_template = INST
    return fast


def random_model(family: str, vocabulary: int, seed: int = 0) -> PreTrainedModel:
    """Three layers of width 32 with grouped keys; embeddings large enough that scores differ well."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2,
    }  # fmt: skip
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**sizes, tie_word_embeddings=True))
    return MistralForCausalLM(MistralConfig(**sizes, sliding_window=None))


def write_model(folder: Path, family: str) -> None:
    """A Hugging Face model folder of a random model of this family."""
    tokenizer: PreTrainedTokenizerBase = train_tokenizer(TEXTS, 600) if family == "qwen3" else bpe_of_words()
    random_model(family, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_family(folder: Path, family: str) -> Backbone:
    """A random model of this family, loaded as the stages load it."""
    model = folder / family
    write_model(model, family)
    noted = folder / "noted"
    write_json(noted / "backbone.json", {"model": str(model), "revision": None, "dtype": "float32"})
    return load_backbone(noted)


def write_adapter(folder: Path, backbone: Backbone, seed: int, lora: Lora | None = None) -> Path:
    """A PEFT folder of an adapter that does something; the backbone comes back bare."""
    origin = origin_of(backbone)
    peft = new_adapter(backbone, lora or Lora(rank=4), seed)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=noise) * 0.2)
    save_adapter(peft, folder, origin)
    peft.unload()
    return folder


def bare(model: nn.Module) -> bool:
    """Whether no adapter is left in the model."""
    return not any("lora_" in name for name, _ in model.named_parameters())


def prompts(backbone: Backbone, items: Items, data: Interactions, vectors: bool = False) -> list[Example]:
    """Prompts of 14 rows of several users, of many lengths."""
    writer = PromptWriter(items, Prompt(history_length=4, keywords=3), backbone.tokenizer, vectors)
    train = data.rows("train")
    return score_examples_of(writer, data, train[:: len(train) // 13][:14])
