"""The student: backbone, per-row mixture of adapters, and collaborative vectors, as one module."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from thinkrec.errors import ModelError
from thinkrec.llm.backbone import Backbone
from thinkrec.llm.bank import LoraBank
from thinkrec.llm.batches import Batch, Places
from thinkrec.llm.projector import Projector


@dataclass(frozen=True)
class Vectors:
    """Collaborative vectors by id, row 0 and unknown ids zero: user [U + 1, d], item [I + 1, d]."""

    user: Tensor
    item: Tensor


def attention(batch: Batch, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the backbone's arguments for attention.

    There are none for unpacked rows: padding is on the right, where causal attention does not reach, and
    without a mask the fast attention kernels are used. Packed rows have a mask [B, 1, T, T] and positions.
    """
    return {} if batch.places is None else masked(batch.places, model)


def masked(places: Places, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return mask and positions of packed rows for the backbone's attention.

    The mask is additive: one of booleans would be converted to it again in every layer.
    """
    visible = places.visible()
    hidden = torch.zeros_like(visible, dtype=model.dtype).masked_fill_(~visible, torch.finfo(model.dtype).min)
    return {"attention_mask": hidden, "position_ids": places.position}


def hidden_states(model: nn.Module, batch: Batch, backbone: Backbone) -> Tensor:
    """Return the last hidden states [B, T, H] of a PEFT model, called as a whole for DDP and FSDP."""
    seen = attention(batch, backbone.model)
    none = torch.empty(0, dtype=torch.int64, device=batch.ids.device)  # positions of logits: the head is ours
    out = model(input_ids=batch.ids, output_hidden_states=True, logits_to_keep=none, use_cache=False, **seen)
    hidden: Tensor = out.hidden_states[-1]
    return hidden


class Student(nn.Module):
    """Backbone with optional adapters and projector.

    Args:
        backbone: the language model; stays frozen.
        bank: adapters, or None for the bare backbone.
        gates: gate weights by user id, [U + 1, K]; None if the bank has one adapter, used for all.
        projector: maps vectors to embeddings, or None for text-only prompts.
        vectors: collaborative vectors; required with a projector.
    """

    def __init__(
        self,
        backbone: Backbone,
        bank: LoraBank | None = None,
        gates: Tensor | None = None,
        projector: Projector | None = None,
        vectors: Vectors | None = None,
    ) -> None:
        """Keep the parts; nothing is copied."""
        super().__init__()
        if bank is not None and (1 if gates is None else gates.shape[1]) != bank.size:
            raise ModelError(
                "the gate has another number of adapters than the bank; run `thinkrec experts` again"
            )
        self.backbone = backbone
        self.model = backbone.model
        self.bank = bank
        self.gates = gates
        self.projector = projector
        self.vectors = vectors

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Recompute activations in the backward pass instead of storing them."""
        self.model.gradient_checkpointing_enable({"use_reentrant": False})

    @property
    def device(self) -> torch.device:
        """The backbone's device."""
        return next(self.model.parameters()).device

    def embed(self, batch: Batch) -> Tensor:
        """Return the embeddings of a batch, [B, T, H], with projected vectors at the placeholders."""
        user_token, item_token = self.backbone.placeholders
        is_user, is_item = batch.ids == user_token, batch.ids == item_token
        ids = batch.ids.masked_fill(is_user | is_item, self.backbone.pad)
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        if self.projector is None or self.vectors is None:
            return embedded
        embedded = embedded.clone()
        owner = batch.user if batch.user.dim() == 2 else batch.user[:, None].expand_as(ids)
        users = self.vectors.user[owner[is_user].cpu()].to(self.device)
        items = self.vectors.item[batch.items.cpu()].to(self.device)
        embedded[is_user] = self.projector(users).to(embedded.dtype)
        embedded[is_item] = self.projector(items).to(embedded.dtype)
        return embedded

    def mixed(self, batch: Batch):  # type: ignore[no-untyped-def]  # a context manager
        """Return a context in which the backbone applies every row's own mixture."""
        if self.bank is None:
            return nullcontext()
        gate = torch.ones(len(batch.ids), 1) if self.gates is None else self.gates[batch.user.cpu()]
        if gate.dim() == 3 and bool((gate == gate[:, :1]).all()):
            gate = gate[:, 0]  # one user a row
        return self.bank.applied(self.model, gate.to(self.device))

    def forward(self, batch: Batch) -> Tensor:
        """Return the last hidden states, [B, T, H]."""
        batch = batch.to(self.device)
        with self.mixed(batch):
            out = self.model.model(
                inputs_embeds=self.embed(batch), use_cache=False, **attention(batch, self.model)
            )
        hidden: Tensor = out.last_hidden_state
        return hidden
