"""Inputs one after another, the same for the same seeds."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.cases import Case, cases

BATCH = 10


def drive(reader: str, inputs: int, first_seed: int, seen: set[int], act: Callable[[Case], None]) -> int:
    """Call `act` with so many different inputs for one reader.

    They come in batches of ten: from the eleventh example on Hypothesis mostly reshuffles its last one.

    Args:
        reader: its name.
        inputs: how many.
        first_seed: of the first batch; each further one takes the next number.
        seen: marks of earlier inputs, none of which comes again; grows.
        act: gets them.

    Returns:
        The seed after the last batch's.
    """
    total, batch = len(seen) + inputs, first_seed
    while len(seen) < total:

        @seed(batch)
        @settings(
            max_examples=min(BATCH, total - len(seen) + 1), deadline=None, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases(reader))
        def batch_of(case: Case) -> None:
            mark = hash((repr(case.source), repr(case.prep), case.files))
            if mark not in seen and len(seen) < total:
                seen.add(mark)
                act(case)

        batch_of()
        batch += 1
    return batch
