"""Estimates as tables and notes for terminals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from thinkrec.costs.estimate import Estimate, Part, Spread

_FORMULA = (
    "FLOPs: forward 2 x weights x tokens + 4 x layers x width of all heads x length^2 x rows, with LoRAs, "
    "and the head where it runs; padding counts. Backward: as much again for activations, down to the lowest "
    "trained layer; the backbone is frozen, so weights' gradients are those of LoRAs and projector alone: "
    "about 2 x forward in all, not 3 x (Kaplan et al. 2020, section 2.1; PaLM, appendix B; LoRA)"
)


PARTS = 3
"""Parts side by side, which fit into 80 columns."""


def tables(estimate: Estimate) -> Iterator[RenderableType]:
    """Yield tables of parts, a few side by side, then totals and assumptions."""
    title = f"dry run of {estimate.stage}, {estimate.dataset}"
    for first in range(0, len(estimate.parts), PARTS):
        parts = estimate.parts[first : first + PARTS]
        table = Table(title=title if first == 0 else None, title_justify="left")
        table.add_column("")
        columns = [_column(part) for part in parts]
        for part in parts:
            table.add_column(part.name, justify="right")
        for label in columns[0]:
            table.add_row(label, *(column[label] for column in columns))
        yield table
    yield from (Text(note) for note in _notes(estimate))


def _column(part: Part) -> dict[str, str]:
    size = f"{part.size:,}" + ("" if part.size == part.requested else f" ({part.requested:,} does not fit)")
    return {
        "rows": f"{part.recommendation + part.reasoning:,}",
        "  recommendation": f"{part.recommendation:,}",
        "  reasoning": f"{part.reasoning:,}",
        **_spread("prompt", part.prompt),
        **_spread("answer", part.answer),
        "passes over the rows": f"{part.passes}",
        "tokens of a pass, padding included": f"{part.padded:,}",
        "rows of a batch": size,
        "optimizer steps": f"{part.steps:,}" if part.steps else "-",
        "FLOPs": f"{part.flops:.3g}",
        "measured": "\n".join(f"{pace.batches} batches, {pace.seconds:.1f} s" for pace in part.paces),
        "ms a token": "\n".join(f"{1000 * pace.per_token:.3g}" for pace in part.paces),
        "FLOP/s": f"{part.flops / part.seconds:.3g}" if part.seconds else "-",
        "estimated time": duration(part.seconds),
    }


def _spread(name: str, tokens: Spread) -> dict[str, str]:
    return {
        f"{name} tokens": f"{tokens.total:,}",
        f"  mean of {name}s": f"{tokens.mean:,.1f}",
        f"  longest {name}": f"{tokens.longest:,}",
    }


def duration(seconds: float) -> str:
    """Format a duration in hours, and in seconds below one hour."""
    return f"{seconds / 3600:,.2f} h" if seconds >= 3600 else f"{seconds / 3600:.3f} h ({seconds:,.0f} s)"


def _notes(estimate: Estimate) -> Iterator[str]:
    yield f"model: {estimate.model}"
    total = f"{duration(estimate.seconds)}, {estimate.flops:.3g} FLOPs"
    yield f"in all, on one device ({estimate.device}), by one process: {total}"
    yield f"  of it loading the model and writing the prompts, done just now: {duration(estimate.preparing)}"
    gpu = "" if estimate.gpu_memory is None else f", on the GPU {estimate.gpu_memory / 1e9:.2f} GB"
    yield f"peak memory: {estimate.memory / 1e9:.2f} GB{gpu} (with the longest batch)"
    if estimate.gpu_memory is None:
        yield "  measured with batches of at most 8 rows; what larger ones take is extrapolated"
    yield "rows, tokens and steps are exact. Time: the measured batches' time a token, times all tokens"
    if any(part.name == "reasons" for part in estimate.parts):
        yield "reasons: as long as the references of the same rows, `measured` is reading, then writing"
    if estimate.stand_ins:
        yield f"not trained yet, an untrained one stood in: {', '.join(estimate.stand_ins)}"
    yield f"not in it: {estimate.left_out}"
    for part in estimate.parts:
        if part.size != part.requested:
            yield f"{part.name}: {part.requested} rows of a batch do not fit into memory, {part.size} do"
    yield _FORMULA
    yield "nothing was written"
