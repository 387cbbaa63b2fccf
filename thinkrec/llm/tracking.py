"""Trackers of experiments: where the figures of a training go while it runs, besides the report."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from thinkrec.config.sections import Params
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout

PROJECT = "thinkrec"
"""Name of the project under which trackers list the runs, unless their own variables say another."""


@dataclass(frozen=True)
class Tracking:
    """A run as a tracker shows it. It changes nothing of what is trained, and no stage depends on it.

    Args:
        to: the tracker's name in `report_to`; none: no tracker.
        name: of the run.
        folder: of what a tracker keeps in files: TensorBoard; W&B and MLflow unless their own variables
            say otherwise. Trackio has its own place.
    """

    to: str = "none"
    name: str = ""
    folder: Path = Path()

    @classmethod
    def of(cls, layout: Layout, params: Params, stage: str) -> Self:
        """Return the run of a stage's training.

        Args:
            layout: of data set and variant.
            params: with the training's seed.
            stage: its name.

        Raises:
            ConfigError: the tracker's package is not installed.
        """
        _check_installed(params.report_to)
        name = f"{layout.dataset}-{layout.own(stage)}-seed-{params.seed}"
        return cls(params.report_to, name, layout.logs)

    def of_part(self, part: str) -> Self:
        """Return the run of one of several parts that a stage trains."""
        return replace(self, name=f"{self.name}-{part}")

    def arguments(self) -> dict[str, Any]:
        """Prepare the tracker for the trainer that is made next.

        Returns:
            Arguments of transformers' TrainingArguments, which TRL's extend.
        """
        if self.to == "none":
            return {"report_to": []}
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.to == "tensorboard":  # a folder for each start: curves of two in one would be mixed
            started = datetime.now().strftime("%Y%m%d-%H%M%S")
            os.environ["TENSORBOARD_LOGGING_DIR"] = str(self.folder / self.name / started)
        if self.to == "wandb":
            os.environ.setdefault("WANDB_DIR", str(self.folder))
            os.environ.setdefault("WANDB_PROJECT", PROJECT)
            _end_run()
        if self.to == "mlflow":
            os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder / 'mlflow.db'}")
            os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
        return {"report_to": [self.to], "run_name": self.name, "project": PROJECT}


UNTRACKED = Tracking()


def _end_run() -> None:
    """End W&B's run of the training before: the trainer would go on with it."""
    import wandb

    if wandb.run is not None:
        wandb.finish()


def _check_installed(tracker: str) -> None:
    if tracker == "none":
        return
    from transformers.integrations import integration_utils

    if not getattr(integration_utils, f"is_{tracker}_available")():
        package = "tensorboardX" if tracker == "tensorboard" else tracker
        raise ConfigError(
            f"report_to is {tracker}, and the package {package} is not installed: install it (`pip install "
            f"{package}`), or set report_to to none in params.yaml"
        )
