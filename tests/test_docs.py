"""The documentation says what is true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from api.settings import ServerSettings
from lake.schema import PARTITIONS, PROMOTED, TABLES
from lake.settings import LakeSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_in_the_file_format(table):
    text = (DOCS / "file-format.md").read_text()
    section = text.partition(f"## `{table}`\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE)
    assert documented == [(c.name, str(c.type)) for c in TABLES[table].columns]


def test_every_partition_column_is_in_the_file_format():
    text = (DOCS / "file-format.md").read_text()
    assert all(f"`{column.name}`" in text for column in PARTITIONS)


@pytest.mark.parametrize("promoted", PROMOTED, ids=lambda p: p.column)
def test_every_promoted_attribute_is_in_the_file_format_with_its_character(promoted):
    text = (DOCS / "file-format.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| `{promoted.key}` |"))
    cells = [cell.strip().strip("`") for cell in row.strip("|").split(" | ")]
    assert cells[:4] == [promoted.key, promoted.column, promoted.code, promoted.where]


@pytest.mark.parametrize(
    "name",
    [f.name for f in fields(LakeSettings)] + [f.name for f in fields(ServerSettings) if f.name != "lake"],
)
def test_every_setting_is_documented_with_its_default(name):
    defaults = {f.name: getattr(LakeSettings(), f.name) for f in fields(LakeSettings)}
    defaults |= {f.name: getattr(ServerSettings(), f.name) for f in fields(ServerSettings)}
    row = next(line for line in (DOCS / "settings.md").read_text().splitlines() if f"`TRACELAKE_{name.upper()}`" in line)
    assert f"| {defaults[name] or ''} |" in row.replace("|  |", "| |").replace("| |", "|  |")


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
