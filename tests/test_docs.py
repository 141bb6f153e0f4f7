"""The documentation says what is true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from api import ingest
from api.settings import ServerSettings
from lake.schema import PARTITIONS, PROMOTED, TABLES
from lake.settings import LakeSettings
from lake.wire.report_fields import (
    DEPLOY_FIELDS,
    ERROR_FIELDS,
    MAX_FINGERPRINT_CHARACTERS,
    METADATA_FIELDS,
    REQUEST_FIELDS,
)
from lake.wire.report_values import MAX_BACKTRACE_LINES, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS
from lake.wire.reports import MAX_REPORTS, MAX_VALUES
from scheduler.alerts.channels.settings import ChannelSettings

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
    [f.name for f in fields(LakeSettings)]
    + [f.name for f in fields(ServerSettings) if f.name != "lake"]
    + [f.name for f in fields(ChannelSettings)],
)
def test_every_setting_is_documented_with_its_default(name):
    defaults = {f.name: getattr(LakeSettings(), f.name) for f in fields(LakeSettings)}
    defaults |= {f.name: getattr(ServerSettings(), f.name) for f in fields(ServerSettings)}
    defaults |= {f.name: getattr(ChannelSettings(), f.name) for f in fields(ChannelSettings)}
    row = next(line for line in (DOCS / "settings.md").read_text().splitlines() if f"`TRACELAKE_{name.upper()}`" in line)
    assert f"| {defaults[name] or ''} |" in row.replace("|  |", "| |").replace("| |", "|  |")


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("title", "fields"), [("Errors", ERROR_FIELDS), ("Deploys", DEPLOY_FIELDS), ("Request metrics", REQUEST_FIELDS)]
)
def test_every_field_that_is_taken_is_in_the_page_on_ingest(title, fields):
    section = (DOCS / "ingest.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    assert {tuple(re.findall(r"\w+", row)) for row in rows} == {field.names for field in fields}


def test_all_metadata_of_requests_is_in_the_page_on_ingest():
    section = (DOCS / "ingest.md").read_text().partition("\n## Request metrics\n")[2].partition("\n## ")[0]
    assert all(f"`{name}`" in section for field in METADATA_FIELDS for name in field.names)


@pytest.mark.parametrize(
    "limit",
    [MAX_REPORTS, MAX_VALUES, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS, MAX_BACKTRACE_LINES, MAX_FINGERPRINT_CHARACTERS,
     LakeSettings().request_max_spans, LakeSettings().request_max_resources],
)  # fmt: skip
def test_the_limits_of_ingest_are_in_its_page(limit):
    assert re.search(rf"\b{limit:,}\b", (DOCS / "ingest.md").read_text())


@pytest.mark.parametrize("route", sorted(path for handler in ingest.ROUTES for path in handler.paths))
def test_every_route_of_ingest_is_in_its_page(route):
    page = (DOCS / "ingest.md").read_text()
    assert f"POST {route}`" in page or route.endswith(("/metrics", "/logs"))


def test_every_test_that_the_architecture_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "architecture.md").read_text()))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert named
    assert named <= written
