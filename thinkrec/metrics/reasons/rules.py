"""All rules of one reason together: verdict, polarity, titles, claims and keywords."""

from __future__ import annotations

from collections.abc import Sequence

from thinkrec.metrics.reasons.keywords import Keywords, keywords_fit
from thinkrec.metrics.reasons.titles import Catalogue, Shown, name_titles
from thinkrec.metrics.reasons.truth import claims_fit, polarity_fits, titles_fit, verdict_fits


def check(
    text: str,
    score: float | None,
    history: Sequence[tuple[str, bool]],
    target: str,
    catalogue: Catalogue,
    keywords: Keywords,
) -> dict[str, bool | None]:
    """Apply all rules to one reason; None where a rule has nothing to judge.

    Args:
        text: the reason, verdict first.
        score: the system's, a logit; None where there is none.
        history: titles that the prompt shows, and whether each was liked.
        target: the title asked about.
        catalogue: all titles.
        keywords: of all titles.
    """
    titles = [title for title, _ in history]
    named = name_titles(text, Shown(titles, target), catalogue)
    return {
        "verdict_fits_score": verdict_fits(text, score),
        "polarity_fits_verdict": polarity_fits(text, named),
        "titles_in_prompt": titles_fit(named),
        "claims_fit_labels": claims_fit(named, history),
        "keywords_fit_items": keywords_fit(named, titles, target, keywords),
    }
