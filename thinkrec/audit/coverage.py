"""Coverage: which checks cover which file of a data set, and what none covers, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

_HOURS = "; learning them again takes hours"
_TIED = ": name the system with --systems, and its scores must be those on disk"
_SHOWN = "shown to people only; no stage reads it"
_RAW = "where the raw files are not here to make them again"
_OWN = "what the model itself says, which nothing can repeat"


@dataclass(frozen=True)
class Coverage:
    """Coverage of one file, or of several of one kind.

    Args:
        path: from the project's root, `*` for the data set and for names.
        checks: artifacts of the checks that cover it.
        left_out: what of it no check covers, and why; "" if all is covered.
    """

    path: str
    checks: tuple[str, ...] = field(default=())
    left_out: str = ""


_RECORD = "times, versions, counts; the audit reads counts of rationales and the chosen steps, no stage any"
_ASKED = f"scores of the language model's systems{_TIED}"
COVERED = (
    Coverage("data/*/interactions.parquet", ("interactions", "histories")),
    Coverage("data/*/items.parquet", ("items",), f"texts, {_RAW}"),
    Coverage("data/*/users.parquet", ("users",)),
    Coverage("data/*/quarantine.parquet", ("quarantine",), f"rows, {_RAW}"),
    Coverage("data/*/truth.parquet", ("truth",), f"probabilities, {_RAW}"),
    Coverage("data/*/graph.parquet", ("graph",)),
    Coverage("data/*/keywords.parquet", ("keywords",)),
    Coverage("data/*/rationales.parquet", ("rationales",)),
    Coverage("data/*/cases.parquet", ("cases",)),
    Coverage("data/*/trajectories.jsonl", ("trajectories",), _OWN),
    Coverage("models/*/cf/*/vectors.safetensors", ("vectors",)),
    Coverage("models/*/cf/*/model.safetensors", ("vectors",)),
    Coverage("models/*/cf/*/config.json", ("vectors",)),
    Coverage("models/*/cf/*/seeds/*/model.safetensors", ("vectors",)),
    Coverage("models/*/cf/*/seeds/*/config.json", ("vectors",)),
    Coverage("models/*/baselines/*.safetensors", ("baselines", "features")),
    Coverage("models/*/baselines/config.json", ("baselines",), "importance of features: " + _SHOWN),
    Coverage("models/*/clusters/*", ("groups",)),
    Coverage("models/*/backbone/backbone.json", ("backbone",)),
    Coverage("models/*/adapters/*/global/adapter_config.json", ("global",)),
    Coverage("models/*/adapters/*/global/backbone.json", ("global",)),
    Coverage("models/*/adapters/*/global/*", ("global",), f"weights{_HOURS}{_TIED}"),
    Coverage("models/*/adapters/*/global/seeds/*/adapter_config.json", ("global",)),
    Coverage("models/*/adapters/*/global/seeds/*/backbone.json", ("global",)),
    Coverage("models/*/adapters/*/global/seeds/*/*", ("global",), f"weights{_HOURS}{_TIED}"),
    Coverage("models/*/adapters/*/*/none.json", (), "it stands for a part that the variant does not have"),
    Coverage("models/*/adapters/*/experts/*/adapter_config.json", ("experts",)),
    Coverage("models/*/adapters/*/experts/*/backbone.json", ("experts",)),
    Coverage("models/*/adapters/*/experts/*/*", ("experts",), f"weights of the last layers{_HOURS}{_TIED}"),
    Coverage("models/*/adapters/*/experts/seeds/*/*/adapter_config.json", ("experts",)),
    Coverage("models/*/adapters/*/experts/seeds/*/*/backbone.json", ("experts",)),
    Coverage(
        "models/*/adapters/*/experts/seeds/*/*/*", ("experts",), f"weights of the last layers{_HOURS}{_TIED}"
    ),
    Coverage("models/*/adapters/*/projector/config.json", ("projector",)),
    Coverage(
        "models/*/adapters/*/projector/*", ("projector",), f"weights, but for mean and spread{_HOURS}{_TIED}"
    ),
    Coverage("models/*/adapters/*/projector/seeds/*/config.json", ("projector",)),
    Coverage(
        "models/*/adapters/*/projector/seeds/*/*",
        ("projector",),
        f"weights, but for mean and spread{_HOURS}{_TIED}",
    ),
    Coverage("models/*/agent-backbone/backbone.json", ("agent-backbone",)),
    Coverage("models/*/agent-sft/*", ("agent-sft",), f"weights{_HOURS}"),
    Coverage("models/*/agent-grpo/*", ("agent-grpo",), f"weights{_HOURS}"),
    Coverage("reports/*/predictions/*/*.parquet", ("predictions", "scores"), _ASKED),
    Coverage("reports/*/predictions/*/seeds/*.parquet", ("predictions",)),
    Coverage("reports/*/metrics.json", ("metrics",)),
    Coverage("reports/*/slices.json", ("metrics",)),
    Coverage("reports/*/differences.json", ("metrics",)),
    Coverage("reports/*/gate.json", ("gate",), "scores with and without fusion: scoring takes minutes"),
    Coverage("reports/*/plots/gate.csv", ("gate",)),
    Coverage("reports/*/plots/*.csv", ("metrics",)),
    Coverage("reports/*/reasons.jsonl", ("reasons",), "the reasons themselves, which take minutes"),
    Coverage("reports/*/curves/cf.csv", ("vectors",)),
    Coverage("reports/*/curves/*.csv", (), "the curve of a training, but for its chosen point" + _HOURS),
    Coverage("reports/*/agent/ranks.parquet", ("ranking",), "ranks of thinkrec: scoring takes minutes"),
    Coverage("reports/*/agent/episodes/*/*.jsonl", ("ranking",), _OWN),
    Coverage("reports/*/agent.json", ("ranking",)),
    Coverage("reports/*/report.html", (), _SHOWN),
    Coverage("reports/*/report.md", (), _SHOWN),
    Coverage("reports/*/agent.html", (), _SHOWN),
    Coverage("reports/*/agent.md", (), _SHOWN),
    Coverage("reports/*/run/*.json", (), _RECORD),
    Coverage("*/manifests/*", (), "hashes, which every reader of the files compares"),
)  # fmt: skip


def coverage_of(path: str) -> Coverage | None:
    """Find the first entry for a file, given its path from the project's root; None if there is none."""
    return next((each for each in COVERED if PurePosixPath(path).match(each.path)), None)


def under(output: str) -> list[Coverage]:
    """List the entries of a stage's output: a file, or all in a folder."""
    parts = PurePosixPath(output).parts
    return [
        each
        for each in COVERED
        if PurePosixPath(output).match(each.path) or PurePosixPath(each.path).parts[: len(parts)] == parts
    ]


def left_out(files: Iterable[str], dataset: str) -> list[dict[str, Any]]:
    """List what no check covers of a data set's files: path, files, checks, why.

    Args:
        files: paths from the project's root.
        dataset: name of the data set.
    """
    counts: dict[Coverage, int] = {}
    for path in files:
        entry = coverage_of(path) or Coverage(path, (), "no check knows this file")
        counts[entry] = counts.get(entry, 0) + 1
    return [
        {
            "path": each.path.replace("/*/", f"/{dataset}/", 1),
            "files": count,
            "checks": list(each.checks),
            "why": each.left_out,
        }
        for each, count in counts.items()
        if each.left_out
    ]
