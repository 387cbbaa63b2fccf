"""Loading a backbone: any Llama, Qwen or Mistral model from the hub or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from thinkrec.errors import MissingInputError, ModelError, ThinkrecError
from thinkrec.files import read_json
from thinkrec.layout import FETCHABLE, backbone_place
from thinkrec.llm.attention import choose_attention
from thinkrec.llm.memory import is_full
from thinkrec.machine import free_memory, has_bfloat16
from thinkrec.prompts.tokens import ITEM_TOKEN, USER_TOKEN, Verdicts, answer_ids
from thinkrec.threads import hold_threads

ADAPTER = "adapter_config.json"
CONFIGURATIONS = ("config.json", "tokenizer_config.json")
"""Files of a model folder that can refer to custom code."""
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")
_CHOOSE = (
    "set backbone.model in params.yaml to `smollm2`, a folder that holds a Hugging Face model, a GGUF file, "
    "or a hub name that this machine can reach"
)


@dataclass(frozen=True)
class Backbone:
    """A causal language model with its tokenizer and answer tokens.

    Args:
        model: the model, frozen, in evaluation mode.
        tokenizer: its tokenizer, with the placeholder tokens added.
        answers: token ids of Yes and No, where the prompts ask for them.
        name: as in params.yaml: a fetched one, hub name, folder or file.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    answers: tuple[int, int]
    name: str

    @property
    def pad(self) -> int:
        """Token id for padding, which is never attended to."""
        found = self.tokenizer.pad_token_id
        return int(found if found is not None else self.tokenizer.eos_token_id)

    @cached_property
    def placeholders(self) -> tuple[int, int]:
        """Token ids of the placeholders for a user's and an item's vector."""
        ids = self.tokenizer.get_vocab()
        return ids[USER_TOKEN], ids[ITEM_TOKEN]

    @property
    def head(self) -> Tensor:
        """Weight of the output head, [V, H]."""
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight


def prepare_tokenizer(tokenizer: PreTrainedTokenizerBase, verdicts: Verdicts = "before") -> tuple[int, int]:
    """Add the placeholder tokens, check the answer words and return their ids.

    The embedding table is not resized: placeholders are replaced by vectors before it is read.

    Raises:
        ModelError: Yes or No is not one token.
    """
    tokenizer.add_tokens([USER_TOKEN, ITEM_TOKEN], special_tokens=True)
    return answer_ids(tokenizer, verdicts)


@contextmanager
def loading(what: str, remedy: str = _CHOOSE) -> Iterator[None]:
    """Turn whatever a library says of a model's files into one sentence.

    Memory that runs out is no fault of the files: that error goes through.

    Raises:
        ModelError: `what` can't be loaded, with the library's reason and the remedy.
    """
    try:
        yield
    except ThinkrecError:
        raise
    except Exception as error:  # of transformers, tokenizers, jinja2, gguf, torch: of any kind
        if isinstance(error, RuntimeError | MemoryError) and is_full(error):
            raise
        raise ModelError(f"{what} can't be loaded ({_reason(error)}): {remedy}") from error


def _reason(error: Exception) -> str:
    """Return the first line of an error, with the next where it ends with a colon, and its kind if odd."""
    first, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = f"{first} {rest[0]}" if first.endswith(":") and rest else first
    if said and isinstance(error, OSError | ValueError):  # their words say enough
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _noted(name: str, file: str, revision: str | None) -> tuple[str, Any]:
    """Return path and content of a JSON file of a folder or hub model, an empty object if it is missing."""
    try:
        path = cached_file(name, file, revision=revision)
    except OSError:  # if the file is required, loading fails later
        path = None
    return (path, read_json(Path(path))) if path else (f"{name}/{file}", {})


def refuse_code(name: str, revision: str | None = None) -> None:
    """Refuse a model with custom code: thinkrec only runs code of installed packages.

    Raises:
        ModelError: the configuration refers to custom code or kernels, or can't be read; or the folder is an
            adapter.
    """
    for file in (ADAPTER, *CONFIGURATIONS):
        with loading(f"backbone {name!r}"):
            place, said = _noted(name, file, revision)
        if not isinstance(said, dict):
            raise ModelError(f"{place} holds no JSON object: choose another backbone.model in params.yaml")
        if file == ADAPTER and said:
            raise ModelError(
                f"{place} makes this an adapter, which transformers would put under thinkrec's in silence: "
                "choose a whole model as backbone.model in params.yaml, or merge the adapter into one"
            )
        if found := foreign_code(said):
            raise ModelError(
                f"{place} needs its own code ({found}), and thinkrec runs no code of a model's folder: "
                f"remove {found} where an architecture of transformers itself fits, or choose another "
                "backbone.model in params.yaml"
            )


def foreign_code(config: dict[str, Any]) -> str | None:
    """Return the entry of a configuration that refers to custom code, or None."""
    if config.get("auto_map"):
        return "auto_map"
    kernels = [key for key in config if key.endswith("attn_implementation") and "/" in str(config[key])]
    return kernels[0] if kernels else None


def refuse_pickle(name: str) -> None:
    """Refuse a folder with pickled weights only; from the hub, transformers loads only safetensors.

    Raises:
        ModelError: there is `pytorch_model.bin`, or an index of several such files, and no safetensors.
    """
    folder = Path(name)
    pickled = sorted(folder.glob("pytorch_model*.bin*"))
    if pickled and not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{pickled[0]} holds pickled weights, which can bring code along: save the model as "
            "safetensors (`save_pretrained`), or choose another backbone.model in params.yaml"
        )


def check_source(
    name: str, revision: str | None = None, verdicts: Verdicts = "before"
) -> PreTrainedTokenizerBase:
    """Check a model's configuration and tokenizer before anything costly, and return the tokenizer.

    Raises:
        ModelError: it does not exist, needs custom code, is of an unsupported family, has pickled weights, or
            its Yes and No are not single tokens.
    """
    refuse_code(name, revision)
    with loading(f"backbone {name!r}"):
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"backbone {name!r} is a {config.model_type} model; supported: {', '.join(FAMILIES)}: set "
            "backbone.model to one of these"
        )
    refuse_pickle(name)
    with loading(f"backbone {name!r}"):  # its chat template is a program
        prepare_tokenizer(tokenizer, verdicts)
    return tokenizer


def source_of(folder: Path) -> tuple[str, str | None]:
    """Return the folder or hub name of the model recorded in `folder`, and its revision."""
    facts = read_json(folder / "backbone.json")
    if (place := backbone_place(facts["model"], folder.parent.parent.parent)) is None:
        return facts["model"], facts["revision"]
    if not place.is_dir():  # a copy of the stage's folder elsewhere, such as a dry run's
        place = backbone_place(facts["model"]) or place
    if not place.is_dir():
        fetched = facts["model"] in FETCHABLE
        dataset = folder.parent.name
        raise MissingInputError(
            place, f"thinkrec fetch {facts['model']}" if fetched else f"thinkrec backbone --dataset {dataset}"
        )
    return str(place), None


SMALL = 20_000_000
"""Weights below which float32 is as fast as bfloat16 on a processor (our choice)."""


def count_weights(name: str, revision: str | None = None) -> int:
    """Return the number of weights of a model, from its configuration alone.

    Raises:
        ModelError: transformers can't use the configuration.
    """
    with loading(f"backbone {name!r}"):
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return int(model.num_parameters())


def settled_dtype(wanted: str, weights: int) -> str:
    """Return the dtype that `auto` means on this machine; another stays as it is.

    bfloat16 on GPUs that have it, and on processors with instructions for it unless the model is very small.
    """
    if wanted != "auto":
        return wanted
    pays = torch.cuda.is_available() or weights >= SMALL
    return "bfloat16" if pays and has_bfloat16() else "float32"


def check_memory(name: str, weights: int, dtype: str) -> None:
    """Check that a model's weights fit into the free memory of a machine without a GPU.

    Raises:
        ModelError: they don't; with both figures.
    """
    needed, (free, _) = weights * (2 if dtype == "bfloat16" else 4), free_memory()
    if needed > free and not torch.cuda.is_available():
        raise ModelError(
            f"backbone {name!r} needs {needed / 1e9:.1f} GB for its weights alone in {dtype}, and "
            f"{free / 1e9:.1f} GB of memory are free: choose a smaller backbone.model in params.yaml, or a "
            "machine with more memory"
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the backbone's original tokenizer, without the placeholder tokens.

    Raises:
        ModelError: it needs custom code, or can't be loaded.
    """
    source, revision = source_of(folder)
    refuse_code(source, revision)
    with loading(f"backbone {source!r}"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
    return tokenizer


def _four_bit(dtype: torch.dtype) -> dict[str, Any]:
    """Return the options that load weights as 4-bit normal floats.

    Raises:
        ModelError: bitsandbytes is not installed, or there is no GPU.

    Source: QLoRA (Dettmers et al. 2023).
    """
    if find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise ModelError(
            "backbone.load_in_4bit needs a GPU and the package bitsandbytes: install it (`pip install "
            "bitsandbytes`), or set backbone.load_in_4bit to false in params.yaml"
        )
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )  # fmt: skip
    return {"quantization_config": quantization, "device_map": {"": PartialState().device}}


def load_backbone(folder: Path) -> Backbone:
    """Load the backbone that `thinkrec backbone` wrote to `folder`.

    Raises:
        ModelError: the model can't be loaded or is of an unsupported family.
    """
    hold_threads()
    transformers_logging.disable_progress_bar()
    facts = read_json(folder / "backbone.json")
    source, revision = source_of(folder)
    verdicts: Verdicts = facts.get("verdicts", "before")
    tokenizer = check_source(source, revision, verdicts)
    if not facts.get("load_in_4bit"):
        check_memory(facts["model"], count_weights(source, revision), facts["dtype"])
    with loading(f"backbone {source!r}"):
        dtype = getattr(torch, facts["dtype"])
        options = _four_bit(dtype) if facts.get("load_in_4bit") else {}
        model = AutoModelForCausalLM.from_pretrained(
            source, revision=revision, dtype=dtype, trust_remote_code=False, use_safetensors=True, **options
        )
    model.requires_grad_(False)
    if not facts.get("load_in_4bit"):  # a 4-bit model is already on its device
        device: Any = PartialState().device if torch.cuda.is_available() else "cpu"
        model.to(device)
    choose_attention(model)
    return Backbone(model.eval(), tokenizer, answer_ids(tokenizer, verdicts), facts["model"])
