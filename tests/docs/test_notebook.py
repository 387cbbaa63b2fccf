"""The notebook runs from top to bottom on a small trained project, and is committed without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from pages import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "explore.ipynb"


def executed(folder: Path) -> Any:
    """The notebook with its outputs, run in a folder that is no project."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()


def said(notebook: Any, kind: str) -> list[str]:
    """What its cells show of one MIME type, or print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    if kind == "stream":
        return [output["text"] for output in outputs if output["output_type"] == "stream"]
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


def test_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize(("system", "plots"), [("thinkrec", 4), ("mf", 3)])
def test_explores_a_system(
    system: str, plots: int, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINKREC_PROJECT", str(project))
    monkeypatch.setenv("THINKREC_SYSTEM", system)
    notebook = executed(tmp_path)
    tables = said(notebook, "text/html")
    assert len(said(notebook, "image/png")) == plots  # an encoder has no gate
    assert any("<th>moved</th>" in table for table in tables)
    assert any(f"<th>{system}</th>" in table and "<th>lightgcn</th>" in table for table in tables)
    assert any("<th>uauc_high</th>" in table for table in tables)
    assert any("<th>reason</th>" in table for table in tables) == (system == "thinkrec")
    assert any("expert 1" in table for table in tables) == (system == "thinkrec")
    assert "finds:" in "".join(said(notebook, "stream"))
