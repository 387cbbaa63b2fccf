"""A leak in every artifact of a finished run, and an audit that names it; none where there is none."""

from __future__ import annotations

import pytest
from small_chain import LANGUAGE, Chain

from thinkrec.stages.audit import audit


def test_clean(everything: Chain) -> None:
    import time
    t=time.time()
    report = audit(everything.layout, everything.params, step=lambda w: print(round(time.time()-t,2), w))
    print(time.time()-t)
    for check in report["checks"]:
        if check["verdict"] != "passed":
            print(check)
    for each in report["left_out"]: print(each)
    assert 0
