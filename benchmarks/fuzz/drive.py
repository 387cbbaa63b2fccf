"""Generation of inputs, reproducible by seed."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.cases import Case, cases

BATCH = 10


def drive(reader: str, inputs: int, first_seed: int, seen: set[int], act: Callable[[Case], None]) -> int:
    """Call `act` with distinct inputs of a reader.

    Inputs come in batches of ten: from the eleventh example on, Hypothesis mostly mutates its last one.

    Args:
        reader: its name.
        inputs: number of inputs.
        first_seed: of the first batch; incremented per batch.
        seen: hashes of earlier inputs, which are skipped; extended.
        act: called with each input.

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
