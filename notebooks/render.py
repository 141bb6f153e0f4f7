"""Render: charts, tables and sentences as JupyterLab shows them without a network.

Takes   Vega-Lite specifications (Altair calls the renderer), Polars frames, sentences.
Gives   MIME bundles. Charts have no background and write in the colour of the text around them, so they follow the theme of
        JupyterLab, also while they are on show; saved as an image, they are black on transparent.
Refuses nothing. Every text from telemetry is escaped: whoever can send a span can choose its name.

JupyterLab 4 bundles Vega-Lite 5 and draws `application/vnd.vegalite.v5+json` with it. Altair's own renderers either load
Vega from a CDN or speak of Vega-Lite 6, which JupyterLab does not know; what the charts here use is the same in both.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl
import polars.selectors as cs

from .imports import URI_GRAMMAR, without

with without(URI_GRAMMAR):
    import altair as alt

__all__ = ["Note", "Table", "alt", "clipped", "in_utc", "plain", "shown", "table", "use"]

MIME_TYPE = "application/vnd.vegalite.v5+json"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
"""Names the version; nothing is fetched from there."""

WIDTH = 730
"""Pixels of a chart: beside an open file browser, a screen of 1280 has room for as much."""

PIXELS_A_LETTER = 6.6
"""Width of a letter in a chart, about."""

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
SERVICES = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", GREY)
"""Okabe and Ito's colours, which people who see fewer colours can tell apart."""
FAILED = "#E53935"
TEXT = "currentColor"
MUTED = "#7D7D7D"
"""To be read on white and on black, as `FAILED` is."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"

SHOWN_ROWS = 50
"""Rows of a table that are shown at most."""
_SHORT_LETTERS = 36
"""Texts of this length, an id for example, are not broken into lines."""
_MAX_LETTERS = 300


def use() -> None:
    """Have Altair draw every chart of this process so."""
    alt.renderers.register("tracelake", _bundle)
    alt.renderers.enable("tracelake")
    alt.theme.register("tracelake", enable=True)(_theme)


def _bundle(spec: dict[str, Any], **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
    # SVG, because a canvas does not know the colour around it; no editor, which would send the data to another site
    options = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}
    text = f"<chart: {spec.get('description', 'no description')}>"
    return {MIME_TYPE: spec | {"$schema": _SCHEMA}, "text/plain": text}, {MIME_TYPE: {"embed_options": options}}


def _theme() -> alt.theme.ThemeConfig:
    guide: Any = {
        "labelColor": TEXT,
        "labelFontSize": 11,
        "titleColor": MUTED,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    }
    lines: Any = {"gridColor": TEXT, "gridOpacity": 0.15, "domainColor": TEXT, "domainOpacity": 0.3, "tickColor": TEXT,
                  "tickOpacity": 0.3}  # fmt: skip
    title: Any = {"color": TEXT, "fontSize": 14, "fontWeight": 600, "anchor": "start", "offset": 12, "subtitleColor": MUTED,
                  "subtitlePadding": 5}  # fmt: skip
    return {
        "config": {
            "background": "transparent",
            "font": _FONT,
            "view": {"stroke": None},
            "axis": guide | lines,
            "legend": guide,
            "title": title,
            "text": {"color": TEXT, "fontSize": 12},
            "rule": {"color": TEXT},
        }
    }


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame for a chart: times as text in UTC, because JavaScript reads any other as local time."""
    return in_utc(frame).with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))


def in_utc(frame: pl.DataFrame) -> pl.DataFrame:
    """The same moments; DuckDB's `Etc/UTC` is another type to Polars than `UTC`."""
    return frame.with_columns(cs.datetime().dt.convert_time_zone("UTC"))


def clipped(text: pl.Expr, letters: int | pl.Expr) -> pl.Expr:
    """Text of so many letters at most."""
    return pl.when(text.str.len_chars() > letters).then(text.str.head(letters - 1) + "…").otherwise(text)


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence in place of a chart or table for which there is no data."""

    text: str

    def _repr_html_(self) -> str:
        return f'<p style="color: {MUTED}; margin: 4px 0">{escape(self.text)}</p>'

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a frame, to read: numbers with thousands, times to the second in UTC, texts as they are."""

    frame: pl.DataFrame

    def _repr_html_(self) -> str:
        names = self.frame.columns
        styles = [_style(column) for column in self.frame.head(SHOWN_ROWS)]
        head = "".join(_cell("th", name.replace("_", " "), style) for name, style in zip(names, styles, strict=True))
        rows = "".join(
            f"<tr>{''.join(_cell('td', shown(value), style) for value, style in zip(row, styles, strict=True))}</tr>"
            for row in self.frame.head(SHOWN_ROWS).iter_rows()
        )
        more = self.frame.height - SHOWN_ROWS
        note = f"<p>and {more:,} more rows</p>" if more > 0 else ""
        # the class keeps MathJax away: a `$` in a name is no formula
        return (
            f'<table class="tex2jax_ignore mathjax_ignore"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}'
        )

    def __repr__(self) -> str:
        return str(self.frame)


def table(frame: pl.DataFrame, empty: str = "No rows.") -> Table | Note:
    """A frame as a table.

    Args:
        empty: the sentence to show if it has no rows.
    """
    return Table(frame) if frame.height else Note(empty)


def shown(value: object) -> str:
    """One value as text to read."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:,.1f}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case dt.datetime():
            return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
        case _:
            text = str(value)
            return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1] + "…"


def _style(column: pl.Series) -> str:
    if column.dtype.is_numeric():
        return "text-align: right; white-space: nowrap"
    is_short = column.dtype != pl.String or not (column.str.len_chars() > _SHORT_LETTERS).any()
    return f"text-align: left; {'white-space: nowrap' if is_short else 'overflow-wrap: anywhere; min-width: 14em'}"


def _cell(tag: str, text: str, style: str) -> str:
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'
