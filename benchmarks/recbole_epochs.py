"""Time RecBole's own training epochs; `encoders.py` runs this with the Python of RecBole's environment.

    RECBOLE_PYTHON benchmarks/recbole_epochs.py FOLDER MODEL EPOCHS THREADS SETTINGS

FOLDER has rows/rows.inter, an atomic file; SETTINGS is JSON of RecBole's settings. Prints JSON: seconds of
each epoch after a warm-up epoch, rows and optimizer steps per epoch, versions.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import scipy
import torch


def trained(folder: str, name: str, epochs: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with RecBole's trainer, loader and negatives on the CPU; data preparation is not timed."""
    import recbole
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    own = {"data_path": folder, "checkpoint_dir": folder, "use_gpu": False, "state": "ERROR"}
    config = Config(name, "rows", config_dict={**settings, **own})
    init_seed(config["seed"], config["reproducibility"])
    train, _, _ = data_preparation(config, create_dataset(config))
    model = get_model(name)(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    seconds = []
    for epoch in range(epochs + 1):
        start = time.perf_counter()
        trainer._train_epoch(train, epoch)
        seconds.append(time.perf_counter() - start)
    packages = (recbole, torch, np, scipy)
    versions = ", ".join(f"{package.__name__} {package.__version__}" for package in packages)
    return {"seconds": seconds[1:], "rows": len(train.dataset), "steps": len(train), "versions": versions}


def main() -> None:
    """Parse the arguments and print the results."""
    folder, name, epochs, threads, settings = sys.argv[1:]
    torch.set_num_threads(int(threads))
    sys.argv = sys.argv[:1]  # RecBole would read settings from the rest
    print(json.dumps(trained(folder, name, int(epochs), json.loads(settings))))


if __name__ == "__main__":
    main()
