"""A whole run of the pipeline on a very small embedded data set, made once and only read by the tests."""

import io
from contextlib import redirect_stderr

import pytest
from small_chain import SMALL, Chain, run_chain

from thinkrec.config.sections import Params
from thinkrec.layout import Layout


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A finished run; read it, never write to it (`Chain.copy` gives one to change)."""
    layout = Layout("demo", tmp_path_factory.mktemp("chain"))
    params = Params.model_validate(SMALL)
    with redirect_stderr(io.StringIO()) as log:
        facts = run_chain(layout, params)
    return Chain(layout, params, facts, log.getvalue())
