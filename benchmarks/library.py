"""Time `thinkrec.load` and a first answer in a fresh process, compared with what it replaces.

    python benchmarks/library.py WORK

Makes a project with 3,000 items in WORK (kept for the next time), trains LightGCN and SASRec briefly, then
starts a fresh process for each timing: import, load, score 1,000 items for one user. The alternative is
what a notebook would do without it: tables by pandas, row numbers, the encoder by torch.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from thinkrec.config.sections import Params
from thinkrec.config.sources import DemoSource
from thinkrec.config.write import params_text

RUNS = 5
OURS = """
import sys, time
start = time.perf_counter()
import thinkrec
rec = thinkrec.load(dataset="demo", system={system!r})
user = next(iter(rec.users))
loaded = time.perf_counter()
new = rec.recommend(user, 1000).items
asked = time.perf_counter()
scores = rec.score(user, new)
done = time.perf_counter()
print(loaded - start + done - asked, done - asked, len(scores), "torch" in sys.modules)
"""
BY_HAND = """
import sys, time
start = time.perf_counter()
import numpy as np, pandas as pd
from pathlib import Path
from thinkrec.cf.folder import load_encoder
from thinkrec.data.tables import Interactions
users, items = (pd.read_parquet(f"data/demo/{{name}}.parquet") for name in ("users", "items"))
data = Interactions.load(Path("data/demo/interactions.parquet"))
model = load_encoder(Path("models/demo/cf/{system}"))
user = int(users.user_id.iloc[0])
row = int(np.flatnonzero(data.user_id == user)[-1])
asked = items.item_id.to_numpy()[:1000]
loaded = time.perf_counter()
scores = model.score(data, np.full(1000, row), "rolling", asked.astype(np.int64))
done = time.perf_counter()
print(done - start, done - loaded, len(scores), "torch" in sys.modules)
"""


def project(work: Path) -> None:
    """Make the project, unless it exists."""
    if (work / "models" / "demo" / "cf" / "sasrec").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    params = Params.model_validate({
        "demo": {"users": 1000, "items": 3000, "interactions": 100_000},
        "datasets": {"demo": DemoSource(reader="demo")},
        "cf": {"models": ["lightgcn", "sasrec"], "seeds": 1, "epochs": 3},
        "cluster": {"encoder": "lightgcn"},
        "evaluate": {"systems": ["lightgcn", "sasrec"]},
    })  # fmt: skip
    (work / "params.yaml").write_text(params_text(params), encoding="utf-8")
    for words in (["fetch", "demo"], ["prep", "--dataset", "demo"], ["cf", "--dataset", "demo"]):
        subprocess.run([sys.executable, "-m", "thinkrec_cli.main", *words], cwd=work, check=True)


def measured(work: Path, code: str) -> dict[str, object]:
    """Measure medians over fresh processes, in seconds."""
    lines = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=work, check=True, capture_output=True, text=True
        ).stdout.split()
        for _ in range(RUNS)
    ]
    whole, one = (round(statistics.median(float(line[k]) for line in lines), 3) for k in (0, 1))
    return {
        "load_and_score_s": whole,
        "score_s": one,
        "items": int(lines[0][2]),
        "torch": lines[0][3] == "True",
    }


def main() -> None:
    """Time both variants for both encoders."""
    work = Path(sys.argv[1])
    project(work)
    for system in ("lightgcn", "sasrec"):
        ours, by_hand = (measured(work, code.format(system=system)) for code in (OURS, BY_HAND))
        ratio = float(str(by_hand["load_and_score_s"])) / float(str(ours["load_and_score_s"]))
        print(
            json.dumps(
                {"system": system, "thinkrec.load": ours, "by hand": by_hand, "ratio": round(ratio, 2)}
            )
        )


if __name__ == "__main__":
    main()
