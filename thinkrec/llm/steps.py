"""Shared by all trainings: progress bars, marks of complete checkpoints, and the trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import Trainer, TrainerCallback

from thinkrec.artifacts.marks import mark_whole
from thinkrec.progress import Bar


class Steps(TrainerCallback):
    """A trainer's progress bars, in place of those of transformers.

    Args:
        name: of the training.
        at_most: whether training may stop early.
    """

    def __init__(self, name: str, at_most: bool = False) -> None:
        """Keep the name; no training has begun yet."""
        self._name, self._at_most = name, at_most
        self._bar: Bar | None = None
        self._held_out: Bar | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar, in the first process only."""
        if state.is_world_process_zero:
            total, done = state.max_steps, state.global_step
            self._bar = Bar(
                total=total, initial=done, desc=self._name, unit="step", at_most=self._at_most, leave=None
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any
    ) -> None:
        """Show and advance a second bar over the held-out rows."""
        if state.is_world_process_zero:
            if self._held_out is None:
                total, name = len(eval_dataloader), f"{self._name}: held out"
                self._held_out = Bar(total=total, desc=name, unit="step", leave=False)
            self._held_out.update()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the second bar."""
        if self._held_out is not None:
            self._held_out.close()
            self._held_out = None

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class WholeCheckpoints(Trainer):
    """Marks each checkpoint once it is completely written, for `last_whole`."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each process writes its own random state
        if self.is_world_process_zero():
            mark_whole(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


def trained_weights(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the weights that require a gradient, with their names."""
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
