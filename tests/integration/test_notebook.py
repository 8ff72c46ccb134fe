"""The notebook of the docs, run by a real kernel."""

from pathlib import Path
from typing import Any, ClassVar

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


class Watched(NotebookClient):
    """Counts how often a cell's output is shown anew."""

    updates: ClassVar[dict[int, int]] = {}

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "update_display_data":
            self.updates[cell_index] = self.updates.get(cell_index, 0) + 1
        return super().process_message(msg, cell, cell_index)


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    # A reader's config, with which a cell that pins no backend would fail.
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "imagen.yaml").write_text(
        "backends: {paid: {adapter: mock, price: 1, fail: refused}}"
    )
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    Watched.updates.clear()
    Watched(
        notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    return notebook


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's client
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_cell_runs_and_images_show_themselves(
    executed: nbformat.NotebookNode, tmp_path: Path
) -> None:
    shown = [
        output.data.get("text/html", "")
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]

    assert [html.count("<figure") for html in shown if html] == [
        *(1, 4),
        0,  # the table of the estimate
        *(1, 2),
        4,  # the history
    ]
    assert len(list(tmp_path.glob("*.png"))) == 6 + 2 + 1 + 6 + 1
    outputs = {
        number: [output.get("data", {}) for output in cell.outputs]
        for number, cell in enumerate(executed.cells)
        if cell.cell_type == "code"
    }
    (slow,) = [
        number
        for number, cell in enumerate(executed.cells)
        if "a harbour" in cell.source and cell.cell_type == "code"
    ]
    # Shown in place, several times; and what stays is how it ended.
    assert Watched.updates[slow] >= 4
    progress, images = outputs[slow]
    assert progress["text/plain"].startswith("2 images · ")
    assert "<progress" not in progress["text/html"]
    assert images["text/html"].count("<figure") == 2
    (again,) = [
        data["text/plain"]
        for each in outputs.values()
        for data in each
        if data.get("text/plain", "").startswith("(") and "True" in data["text/plain"]
    ]
    assert again == "(False, True)"
    sheets = [data for each in outputs.values() for data in each if "image/png" in data]
    assert len(sheets) == 1
