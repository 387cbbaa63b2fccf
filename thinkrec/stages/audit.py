"""The leak audit: every check on whatever artifacts there are. No pipeline stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thinkrec.config.load import dataset_source
from thinkrec.config.sections import Params
from thinkrec.data.tables import Interactions
from thinkrec.errors import ConfigError, DataError, MissingInputError
from thinkrec.files import read_json
from thinkrec.layout import Layout, require

if TYPE_CHECKING:
    from thinkrec.audit.check import Check

Step = Callable[[str], None]
PAST = "keep to the past"


def audit(
    layout: Layout, params: Params, systems: Sequence[str] = (), step: Step = lambda what: None
) -> dict[str, Any]:
    """Prove on the artifacts of a data set that they keep to the past (guarantee 1).

    Args:
        layout: where they lie; only the interactions must be there.
        params: with which they were made.
        systems: systems of the language model whose scores are audited as well, which takes two scorings of
            test; the collaborative encoders' always are.
        step: told what comes next.

    Returns:
        `checks`: artifact, claim, verdict (passed, FAILED, not applicable), said, figures. `ties`: see
        `thinkrec.audit.histories.ties`. `history`: by system, see `thinkrec.audit.scores.compare_modes`.
        `no_history`: why there is none, or None. `verdicts`: counts.

    Raises:
        MissingInputError: there are no interactions, or a part of a named system is missing.
        ConfigError: params.yaml does not know the data set, or a named system is none.
        ModelError: an artifact is corrupt.
    """
    require(layout, "interactions")
    from thinkrec.audit.histories import check_histories, ties
    from thinkrec.audit.interactions import check_interactions
    from thinkrec.audit.scores import check_scores, compare_modes
    from thinkrec.audit.systems import scorers
    from thinkrec.audit.trees import check_features

    data, rule = Interactions.load(layout.interactions), _rule(layout, params)
    scored = scorers(layout, params, data, systems)
    step("interactions and histories")
    checks = [*check_interactions(data, rule), *check_histories(data, params.prompt, rule)]
    checks += _artifacts(layout, params, data, step)
    history: dict[str, Any] = {}
    without: str | None = None
    for name, scorer in scored.items():
        step(f"scores of {name}")
        if name == "gbdt":
            checks.append(check_features(data, params.prompt.history, params.seed))
        checks.append(check_scores(layout, data, name, scorer, params.prompt.history, params.seed))
        try:
            history[name] = compare_modes(data, scorer, params.evaluate.bootstrap_draws, params.seed)
        except ConfigError as error:
            without = str(error)
    return {
        "dataset": layout.dataset,
        "checks": [asdict(check) for check in checks],
        "ties": ties(data, params.prompt.history_length),
        "history": history,
        "no_history": without,
        "verdicts": dict(Counter(check.verdict for check in checks)),
    }


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
    """Name of the rule that prep split by: of its record, or of params.yaml where that has none."""
    settings = None
    if layout.record("prep").exists():
        try:
            settings = read_json(layout.record("prep"))["facts"].get("settings")
        except (json.JSONDecodeError, KeyError) as error:
            again = f"run `thinkrec prep --dataset {layout.dataset}` again"
            raise DataError(f"{layout.record('prep')} is no record of prep: {again}") from error
    return str(settings["split"]["rule"] if settings else dataset_source(params, layout.dataset).split.rule)


def _artifacts(layout: Layout, params: Params, data: Interactions, step: Step) -> Iterable[Check]:
    """Checks of what the stages after prep made, as far as they have."""
    from thinkrec.audit.check import skipped
    from thinkrec.audit.groups import check_groups
    from thinkrec.audit.keywords import check_keywords
    from thinkrec.audit.prompts import check_prompts
    from thinkrec.audit.rationales import Options, check_rationales
    from thinkrec.audit.vectors import check_vectors, encoders

    names = encoders(layout)
    for name in names:
        step(f"training {name} again")
        yield from check_vectors(layout, data, name)
    if not names:
        yield skipped("vectors", PAST, f"`thinkrec cf --dataset {layout.dataset}` makes them")
    prompt, seed = params.prompt, params.seed
    options = Options(params.synthesize, prompt, seed)
    parts: dict[str, tuple[tuple[str, ...], Callable[[], list[Check]]]] = {
        "groups": (("clusters",), lambda: check_groups(layout, data, seed)),
        "keywords": (("items", "keywords"), lambda: check_keywords(layout, params.summarize)),
        "rationales": (("items", "keywords", "rationales"), lambda: check_rationales(layout, data, options)),
        "prompts": (("items", "keywords", "backbone"), lambda: check_prompts(layout, data, prompt, seed)),
    }
    for name, (needed, check) in parts.items():
        step(name)
        try:
            require(layout, *needed)
        except MissingInputError as error:
            yield skipped(name, PAST, str(error))
        else:
            yield from check()
