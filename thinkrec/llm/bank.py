"""Stacked adapters: every row of a batch gets its own mixture of them, exactly and in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thinkrec.errors import ModelError
from thinkrec.files import read_json

Fuse = Literal["exact", "linear"]
_SAME_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")


@dataclass(frozen=True)
class Stack:
    """Adapters of projections with the same input. Shapes: D in, O out, K adapters, P projections, R rank.

    Args:
        a: [K * P * R, D], for each adapter the rank rows of all projections.
        b: [O, K * R] of each projection, with the scaling folded in.
        rank: R.
    """

    a: Tensor
    b: dict[str, Tensor]
    rank: int

    def only(self, adapters: list[int]) -> Stack:
        """Return the stack of some of the adapters, in this order."""
        size = len(self.b) * self.rank
        # [K * P * R, D] as [K, P * R, D], and [O, K * R] as [O, K, R], to select along K.
        a = self.a.view(-1, size, self.a.shape[1])[adapters].flatten(0, 1)
        b = {
            name: each.view(len(each), -1, self.rank)[:, adapters].flatten(1) for name, each in self.b.items()
        }
        return Stack(a, b, self.rank)


def low_ranks(x: Tensor, stack: Stack, gate: Tensor, fusion: Fuse = "exact") -> dict[str, Tensor]:
    """Project an input down with all adapters at once, and weight the results.

    `exact` gives the weighted sum of the adapters' updates, sum_k w_k B_k A_k. `linear` is what the paper's
    release computes with PEFT: (sum_k sqrt(w_k) B_k) (sum_k sqrt(w_k) A_k), which has cross terms between
    adapters; two identical ones with weight 1/2 give twice their update.

    Shapes: B rows, T tokens, D in, K adapters, R rank.

    Args:
        x: [B, T, D].
        stack: the adapters.
        gate: weight of each adapter for each row, [B, K], or for each token, [B, T, K].
        fusion: how adapters are combined.

    Returns:
        The input of each projection's B, [B, T, K * R].

    Raises:
        ValueError: the gate's shape does not fit.
    """
    adapters, names = gate.shape[-1], list(stack.b)
    if gate.shape[:-1] != x.shape[: gate.dim() - 1] or adapters * len(names) * stack.rank != len(stack.a):
        raise ValueError(
            f"a gate of shape {tuple(gate.shape)} does not fit {len(stack.a)} rank rows of {len(names)} "
            f"projections and x {tuple(x.shape)}"
        )
    # [B, T, K * P * R] -> [B, T, K, P, R]; the gate becomes [B, T or 1, K, 1, 1].
    low = (x.to(stack.a.dtype) @ stack.a.T).unflatten(-1, (adapters, len(names), stack.rank))
    weight = gate.to(low.dtype)[..., None, None]
    weight = weight if gate.dim() == 3 else weight[:, None]
    if fusion == "linear":
        root = weight.sqrt()
        low = (low * root).sum(-3, keepdim=True) * root
    else:
        low = low * weight
    return {name: low[..., number, :].flatten(-2) for number, name in enumerate(names)}


def add_delta(output: Tensor, low: Tensor, b: Tensor) -> Tensor:
    """Return a projection's output plus the adapters' update: output + low @ b.T, in output's dtype.

    Shapes: output [B, T, O], low [B, T, K * R], b [O, K * R]. Without gradients, output is changed in place.

    Source: ThinkRec, section 3.3.2 (weighted sum of the base experts): sum_k gate[:, k] * B_k A_k x.
    """
    flat, low = output.flatten(0, -2), low.flatten(0, -2)
    if torch.is_grad_enabled() or not output.is_contiguous():
        return torch.addmm(flat, low.to(flat.dtype), b.T.to(flat.dtype)).view_as(output)
    flat.addmm_(low.to(flat.dtype), b.T.to(flat.dtype))
    return output


_CODE = ("auto_map", "megatron_config", "corda_config", "lora_ga_config")
"""Entries of an adapter's configuration that make PEFT import modules or unpickle files."""


def read_adapter(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Read A and scaled B of each adapted module from a PEFT folder.

    Raises:
        ModelError: it can't be read, is not plain LoRA, or has an unknown key.
    """
    try:
        config = read_json(folder / "adapter_config.json")
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"adapter {folder} can't be read: {error}; train it again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'adapter_config.json'} holds no JSON object; train the adapter again")
    if code := next((name for name in _CODE if config.get(name)), None):
        raise ModelError(
            f"{folder / 'adapter_config.json'} needs its own code or files ({code}), and "
            "thinkrec runs no code of an adapter's folder: train the adapter again"
        )
    other = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern")
    if config.get("peft_type") != "LORA" or any(config.get(name) for name in other):
        raise ModelError(f"adapter {folder} is not a plain LoRA, which is all that can be stacked")
    parts: dict[str, dict[str, Tensor]] = {}
    for key, weight in weights.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise ModelError(
                f"adapter {folder} holds {key!r}, which is no LoRA weight: it would silently be lost"
            )
        parts.setdefault(found["module"], {})[found["part"]] = weight.float()
    halves = [module for module, pair in parts.items() if len(pair) != 2]
    if halves or not parts:
        raise ModelError(f"adapter {folder} lacks a half of {halves or 'everything'}; train it again")
    if {rank for pair in parts.values() for rank in (len(pair["A"]), pair["B"].shape[1])} != {config["r"]}:
        raise ModelError(f"adapter {folder} has other ranks than its configuration says; train it again")
    scaling = config["lora_alpha"] / config["r"]
    return {module: (pair["A"], pair["B"] * scaling) for module, pair in parts.items()}


class LoraBank(nn.Module):
    """K adapters of one backbone, mixed per row by a gate.

    Args:
        folders: PEFT folders, in the order of the gate's columns.
        model: their backbone.
        fusion: see `low_ranks`.

    Raises:
        ModelError: a folder can't be read, adapts modules that the backbone does not have, or differs from
            the others in its modules or ranks.
    """

    def __init__(self, folders: Sequence[Path], model: nn.Module, fusion: Fuse = "exact") -> None:
        """Read and stack the adapters on the backbone's device."""
        super().__init__()
        self.size, self.fusion = len(folders), fusion
        self._left: list[RemovableHandle] = []
        adapters = [read_adapter(folder) for folder in folders]
        modules = dict(model.named_modules())
        self.names = sorted(adapters[0])
        for folder, adapter in zip(folders, adapters, strict=True):
            missing = sorted(set(adapter) - set(modules))
            if missing:
                raise ModelError(f"adapter {folder} adapts {missing[0]}, which the backbone does not have")
            if sorted(adapter) != self.names:
                raise ModelError(
                    f"adapter {folder} adapts other modules than {folders[0]}; they can't be fused: "
                    "train both again with the same global.lora.target_modules"
                )
        device = next(model.parameters()).device
        dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
        parts: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
        for name in self.names:
            pairs = [adapter[name] for adapter in adapters]
            # Not the weight's shape, which is packed in 4 bits.
            expected = tuple(getattr(modules[name], side, None) for side in ("out_features", "in_features"))
            for folder, (a, b) in zip(folders, pairs, strict=True):
                if (b.shape[0], a.shape[1]) != expected or a.shape != pairs[0][0].shape:
                    raise ModelError(
                        f"adapter {folder}: {name} has other shapes than the backbone or its fellows"
                    )
            a, b = torch.stack([a for a, _ in pairs]), torch.cat([b for _, b in pairs], dim=1)
            parts.setdefault(_reader(name), {})[name] = a.to(device, dtype), b.to(device, dtype)
        self.stacks: list[Stack] = []
        for own in parts.values():
            a = torch.stack([a for a, _ in own.values()], dim=1)  # [K, P, R, D]
            self.stacks.append(Stack(a.flatten(0, 2), {name: b for name, (_, b) in own.items()}, a.shape[2]))

    @contextmanager
    def applied(self, model: nn.Module, gate: Tensor) -> Iterator[None]:
        """Apply every row's own mixture to `model` within the block; unused adapters cost nothing.

        With gradients, the mixture stays until the next block or `release`, since gradient checkpointing
        recomputes activations in the backward pass, after the block.

        Args:
            model: the backbone.
            gate: [B, K], a row for each row of the batches in the block, or [B, T, K].
        """
        modules = dict(model.named_modules())
        used = gate.flatten(0, -2).any(0)
        adapters = used.nonzero()[:, 0].tolist()
        stacks = self.stacks if used.all() else [stack.only(adapters) for stack in self.stacks]
        gate = gate if used.all() else gate[..., adapters]
        self.release()
        for stack in stacks if adapters else []:
            hook = _Hook(stack, gate, self.fusion)
            self._left += [modules[name].register_forward_hook(hook.of(name)) for name in stack.b]
        try:
            yield
        finally:
            if not torch.is_grad_enabled():
                self.release()

    def release(self) -> None:
        """Remove the mixture of the last block from the model."""
        for handle in self._left:
            handle.remove()
        self._left.clear()


class _Hook:
    """Computes the shared part of projections with the same input when the first of them is called."""

    def __init__(self, stack: Stack, gate: Tensor, fusion: Fuse) -> None:
        self.stack, self.gate, self.fusion = stack, gate, fusion
        self.input: Tensor | None = None
        self.low: dict[str, Tensor] = {}

    def of(self, name: str):  # type: ignore[no-untyped-def]  # a hook's signature is torch's
        def adapt(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if inputs[0] is not self.input or name not in self.low:
                self.input, self.low = inputs[0], low_ranks(inputs[0], self.stack, self.gate, self.fusion)
            found = add_delta(output, self.low.pop(name), self.stack.b[name])
            if not self.low:
                self.input = None
            return found

        return adapt


def _reader(name: str) -> str:
    """Return a key that projections with the same input share, such as query, key and value of one layer."""
    parent, _, last = name.rpartition(".")
    group = next((group for group in _SAME_INPUT if last in group), None)
    return f"{parent}.{group[0]}" if group else name
