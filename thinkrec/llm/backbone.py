"""Loading a backbone: the embedded one, or any Llama, Qwen or Mistral model of a hub or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from thinkrec.errors import ModelError
from thinkrec.files import read_json
from thinkrec.prompts.render import ITEM_TOKEN, USER_TOKEN, answer_ids
from thinkrec.threads import hold_threads

FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


@dataclass(frozen=True)
class Backbone:
    """A causal language model with what the method needs to know of it.

    Args:
        model: the model, frozen, in evaluation mode.
        tokenizer: its tokenizer, placeholder tokens added.
        answers: token ids of Yes and No.
        name: `tiny`, or the hub name or folder.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    answers: tuple[int, int]
    name: str

    @property
    def pad(self) -> int:
        """Token id for padding, which attention never sees."""
        found = self.tokenizer.pad_token_id
        return int(found if found is not None else self.tokenizer.eos_token_id)

    @cached_property
    def placeholders(self) -> tuple[int, int]:
        """Token ids that stand for a user's and an item's vector."""
        ids = self.tokenizer.get_vocab()
        return ids[USER_TOKEN], ids[ITEM_TOKEN]

    @property
    def head(self) -> Tensor:
        """Weight of the output head, [V, H]."""
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Add the placeholder tokens, check the answer words and return their ids.

    The embedding table is not resized: placeholders are replaced by vectors before it is read.

    Raises:
        ModelError: Yes or No is not one token.
    """
    tokenizer.add_tokens([USER_TOKEN, ITEM_TOKEN], special_tokens=True)
    return answer_ids(tokenizer)


def _unusable(name: str, error: Exception) -> ModelError:
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ModelError(
        f"backbone {name!r} can't be loaded ({first}): set backbone.model in params.yaml to `tiny`, a "
        "folder that holds a Hugging Face model, or a hub name that this machine can reach"
    )


def check_source(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Look at a hub name's or folder's configuration and tokenizer before anything costly.

    Raises:
        ModelError: it is not there, of another family, or its Yes and No are not single tokens.
    """
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        raise _unusable(name, error) from error
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"backbone {name!r} is a {config.model_type} model; supported: {', '.join(FAMILIES)}"
        )
    prepare_tokenizer(tokenizer)
    return tokenizer


def _source(folder: Path) -> tuple[str, str | None]:
    """Folder or hub name of the model that `folder` notes, and its revision."""
    facts = read_json(folder / "backbone.json")
    return (str(folder), None) if facts["model"] == "tiny" else (facts["model"], facts["revision"])


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The backbone's tokenizer as its maker has it, without the placeholder tokens."""
    source, revision = _source(folder)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, revision=revision)
    return tokenizer


def _four_bit(dtype: torch.dtype) -> dict[str, Any]:
    """Options that load weights as 4-bit normal floats.

    Raises:
        ModelError: bitsandbytes is not installed, or there is no GPU.

    Source: QLoRA (Dettmers et al. 2023).
    """
    if find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise ModelError(
            "backbone.four_bit needs a GPU and the package bitsandbytes: install it (`pip install "
            "bitsandbytes`), or set backbone.four_bit to false in params.yaml"
        )
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )  # fmt: skip
    return {"quantization_config": quantization, "device_map": {"": PartialState().device}}


def load_backbone(folder: Path) -> Backbone:
    """Load what `thinkrec backbone` put into `folder`.

    Raises:
        ModelError: the model can't be loaded or is none of the supported families.
    """
    hold_threads()
    transformers_logging.disable_progress_bar()
    facts = read_json(folder / "backbone.json")
    source, revision = _source(folder)
    tokenizer = check_source(source, revision)
    try:
        dtype = getattr(torch, facts["dtype"])
        options = _four_bit(dtype) if facts.get("four_bit") else {}
        model = AutoModelForCausalLM.from_pretrained(source, revision=revision, dtype=dtype, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unusable(source, error) from error
    model.requires_grad_(False)
    if not facts.get("four_bit"):  # which lies where it was loaded
        device: Any = PartialState().device if torch.cuda.is_available() else "cpu"
        model.to(device)
    return Backbone(model.eval(), tokenizer, answer_ids(tokenizer), facts["model"])
