"""All adapters stacked: every row of a batch gets its own mixture of them, exactly and in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from thinkrec.errors import ModelError
from thinkrec.files import read_json

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")


@dataclass(frozen=True)
class Stack:
    """The adapters of one projection. Shapes: D in, O out, K adapters, R rank.

    Args:
        a: [K * R, D].
        b: [O, K * R], scaling folded in.
    """

    a: Tensor
    b: Tensor


def fused_delta(x: Tensor, stack: Stack, gate: Tensor) -> Tensor:
    """Add up every row's own mixture of adapters.

    Shapes: B rows, T tokens, D in, O out, K adapters, R rank.

    Args:
        x: input of the projection, [B, T, D].
        stack: the adapters.
        gate: weight of each adapter for each row, [B, K].

    Returns:
        sum_k gate[:, k] * B_k A_k x, [B, T, O], in x's dtype.

    Raises:
        ValueError: the gate's rows or columns do not fit.

    Source: ThinkRec, section 3.3.2 (weighted sum of the base experts).
    """
    width, adapters = stack.a.shape[0], gate.shape[1]
    if width % adapters or gate.shape[0] != x.shape[0]:
        raise ValueError(
            f"a gate of shape {tuple(gate.shape)} does not fit {width} rank rows and x {tuple(x.shape)}"
        )
    low = x.to(stack.a.dtype) @ stack.a.T
    low = low * gate.to(low.dtype).repeat_interleave(width // adapters, dim=1)[:, None, :]
    return (low @ stack.b.T).to(x.dtype)


def _read_adapter(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Read A and scaled B of each adapted module of a PEFT folder; every key must be understood."""
    try:
        config = read_json(folder / "adapter_config.json")
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"adapter {folder} can't be read: {error}; train it again") from error
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
    """K adapters of one backbone, applied per row by a gate.

    Args:
        folders: PEFT folders, in the order of the gate's columns.
        model: the backbone they belong to.

    Raises:
        ModelError: a folder can't be read, adapts modules that the backbone lacks, or differs from the
            others in its modules or ranks.
    """

    def __init__(self, folders: Sequence[Path], model: nn.Module) -> None:
        """Read and stack the adapters on the backbone's device."""
        super().__init__()
        self.size = len(folders)
        adapters = [_read_adapter(folder) for folder in folders]
        modules = dict(model.named_modules())
        self.names = sorted(adapters[0])
        for folder, adapter in zip(folders, adapters, strict=True):
            missing = sorted(set(adapter) - set(modules))
            if missing:
                raise ModelError(f"adapter {folder} adapts {missing[0]}, which the backbone does not have")
            if sorted(adapter) != self.names:
                raise ModelError(
                    f"adapter {folder} adapts other modules than {folders[0]}; they can't be fused"
                )
        device = next(model.parameters()).device
        self.stacks: dict[str, Stack] = {}
        for name in self.names:
            pairs = [adapter[name] for adapter in adapters]
            expected = tuple(modules[name].weight.shape)
            for folder, (a, b) in zip(folders, pairs, strict=True):
                if (b.shape[0], a.shape[1]) != expected or a.shape != pairs[0][0].shape:
                    raise ModelError(
                        f"adapter {folder}: {name} has other shapes than the backbone or its fellows"
                    )
            a, b = torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs], dim=1)
            self.stacks[name] = Stack(a.to(device), b.to(device))

    @contextmanager
    def applied(self, model: nn.Module, gate: Tensor) -> Iterator[None]:
        """Within the block, `model` computes with every row's own mixture.

        Args:
            model: the backbone.
            gate: [B, K], one row for each row of the batches run in the block.
        """
        modules = dict(model.named_modules())

        def adapt(stack: Stack):  # type: ignore[no-untyped-def]  # a hook's signature is torch's
            return lambda _, inputs, output: output + fused_delta(inputs[0], stack, gate)

        handles = [modules[name].register_forward_hook(adapt(self.stacks[name])) for name in self.names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
