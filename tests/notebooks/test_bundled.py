"""The bundled notebooks run from top to bottom, on a lake with something in it and on an empty one."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from notebooks import bundled
from notebooks.render import MIME_TYPE
from tests.notebooks.notebooks import kinds, run
from tests.notebooks.shop import MINUTES, ORDERS_A_MINUTE, SPANS_A_TRACE

SPANS = MINUTES * ORDERS_A_MINUTE * SPANS_A_TRACE
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    """The first notebook as a user has it."""
    (path,) = bundled.copy_to(tmp_path / "notebooks")
    return path


def test_the_first_notebook_shows_what_is_in_a_lake(copy, shop_folder):
    cells = run(copy, shop_folder)
    assert [kinds(outputs) for outputs in cells] == [["execute_result"]] * 6
    overview, services, calls, latency, waterfall, errors = [outputs[0]["data"] for outputs in cells]
    assert f"{SPANS:,}" in overview["text/html"]
    assert all(name in services["text/html"] for name in ("api-gateway", "orders", "mail"))
    assert "SELECT stock" in calls["text/html"]
    assert latency[MIME_TYPE]["title"]["text"] == "orders: POST /orders"
    assert waterfall[MIME_TYPE]["title"]["text"] == "POST /orders"
    assert "OutOfStock: no item 7 left" in errors["text/html"]


def test_the_first_notebook_has_a_sentence_for_everything_that_is_not_there(copy, empty_folder):
    cells = run(copy, empty_folder)
    assert [kinds(outputs) for outputs in cells] == [["execute_result"]] * 6
    overview, *others = [outputs[0]["data"]["text/plain"] for outputs in cells]
    assert "spans" in overview
    assert all(re.fullmatch(r"No .+\.", sentence) for sentence in others), others


def test_without_a_lake_a_sentence_stands_where_a_traceback_would(copy, tmp_path):
    first, *_ = run(copy, tmp_path / "nowhere", allow_errors=True)
    (error,) = first
    assert error["ename"] == "NoLake"
    shown = "\n".join(error["traceback"])
    assert str(tmp_path / "nowhere") in shown
    assert "run this again" in shown
    assert "Traceback" not in shown


def test_a_copy_needs_no_question_about_its_kernel_and_holds_no_outputs(copy):
    notebook = nbformat.read(copy, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_what_a_user_has_is_never_overwritten(copy):
    copy.write_text("mine")
    assert bundled.copy_to(copy.parent) == []
    assert copy.read_text() == "mine"


def test_a_notebook_that_was_deleted_comes_back(copy):
    copy.unlink()
    assert bundled.copy_to(copy.parent) == [copy]
    assert nbformat.read(copy, as_version=4).cells


def test_a_copy_leaves_nothing_but_notebooks(copy):
    assert [path.name for path in copy.parent.iterdir()] == [f"{bundled.FIRST}.ipynb"]


def test_the_first_notebook_is_one_of_the_bundled_ones():
    assert bundled.names()[0] == bundled.FIRST


@pytest.mark.parametrize("name", bundled.names())
def test_what_a_notebook_refers_to_exists(name):
    text = (ROOT / "notebooks" / "bundled" / f"{name}.py").read_text()
    for document in re.findall(r"docs/[\w-]+\.md", text):
        assert (ROOT / document).exists()
