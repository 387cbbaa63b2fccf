"""The leak audit: every check on whatever artifacts there are. No pipeline stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thinkrec.artifacts.check import manifest_of
from thinkrec.config.load import dataset_source
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.errors import DataError
from thinkrec.layout import Layout, require
from thinkrec.systems.project import Project

if TYPE_CHECKING:
    from thinkrec.audit.check import Check

Step = Callable[[str], None]


def audit(
    layout: Layout,
    params: Params,
    systems: Sequence[str] = (),
    step: Step = lambda what: None,
    deep: bool | None = None,
    draws: int = 0,
) -> dict[str, Any]:
    """Prove on the artifacts of a data set that they keep to the past (guarantee 1).

    Where an artifact is not as its stage wrote it, nothing else is looked at.

    Args:
        layout: where they lie; only the interactions must be there.
        params: with which they were made.
        systems: systems of the language model whose scores are audited as well, which takes three scorings of
            test and one of valid; the collaborative encoders' always are.
        step: called with the name of what comes next.
        deep: compare large weights with their manifests as a whole, too; None compares no manifest.
        draws: permutations of test's labels within users for the shuffled control; 0: no control.

    Returns:
        `checks`: artifact, claim, verdict (passed, FAILED, not applicable), said, figures. `left_out`: which
        files no check looks at, in whole or in part, and why (see `thinkrec.audit.coverage`). `ties`: see
        `thinkrec.audit.histories.ties`. `verdicts`: counts. `shuffled`, where draws were asked for: the table
        of `thinkrec.audit.shuffled.controls`.

    Raises:
        MissingInputError: there are no interactions, or a part of a named system is missing.
        ConfigError: params.yaml does not know the data set, or a named system is none.
        ModelError: an artifact is corrupt.
    """
    require(layout, "interactions")
    from thinkrec.audit.coverage import left_out
    from thinkrec.audit.files import check_files
    from thinkrec.audit.histories import ties
    from thinkrec.audit.parts import check_parts, check_systems, parts
    from thinkrec.audit.shuffled import controls
    from thinkrec.audit.systems import load_systems

    files: list[Check] = []
    if deep is not None:
        step("files and their manifests")
        files = list(check_files(layout, params, deep))
        if any(check.verdict == "FAILED" for check in files):
            return {"dataset": layout.dataset, **_reported(files)}
    data, rule = Interactions.load(layout.interactions), _rule(layout, params)
    project = Project(layout, params, data)
    scored = load_systems(project, systems)
    checks = files + list(check_parts(parts(layout, params, data, rule), layout, step))
    checks += check_systems(project, scored, step)
    told: dict[str, Any] = {}
    if draws:
        judged, told["shuffled"] = controls(project, scored, draws, step)
        checks += judged
    return {
        "dataset": layout.dataset,
        **_reported(checks),
        **told,
        "left_out": left_out(_files(layout), layout.dataset),
        "ties": ties(data, params.prompt.history_length),
    }


def _reported(checks: list[Check]) -> dict[str, Any]:
    return {
        "checks": [asdict(check) for check in checks],
        "verdicts": dict(Counter(check.verdict for check in checks)),
    }


def _files(layout: Layout) -> Iterator[str]:
    """Everything that stages wrote for this data set, as paths from the project's root."""
    own = (layout.audit, layout.stats, layout.search, layout.work("any").parent)
    side = (layout.reports / "compare", layout.reports / "search")
    for folder in (layout.data, layout.models, layout.reports):
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if (
                path.is_file()
                and not hidden
                and not any(path == one or one in path.parents for one in (*own, *side))
            ):
                yield path.relative_to(layout.root).as_posix()


def refuse_leaks(report: dict[str, Any]) -> None:
    """End an audit that found something.

    Raises:
        DataError: a check failed; names all that did.
    """
    failed = [
        f"{check['artifact']} ({check['claim']})"
        for check in report["checks"]
        if check["verdict"] == "FAILED"
    ]
    if failed:
        count = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        raise DataError(f"the audit of {report['dataset']} failed {count}: {'; '.join(failed)}")


def _rule(layout: Layout, params: Params) -> str:
    """Name of the rule that prep split by: of its manifest, or of params.yaml where there is none."""
    if not layout.manifest("prep").exists():
        return str(dataset_source(params, layout.dataset).split.rule)
    return str(manifest_of(layout, "prep")["params"]["datasets.*"]["split"]["rule"])
