"""Pages: HTML that works without a script, a font or an image from anywhere else."""

from __future__ import annotations

from html import escape

from litestar import MediaType, Response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 4rem auto; padding: 0 1rem; }}
  code, pre {{ font-size: .9em; overflow-wrap: anywhere; white-space: pre-wrap; }}
  table {{ border-collapse: collapse; }}
  td, th {{ text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }}
</style></head><body>
<h1>{title}</h1>
{content}
</body></html>
"""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def html(title: str, content: str) -> str:
    """A page; `content` is HTML already."""
    return _PAGE.format(title=escape(title), content=content)


def page(title: str, content: str) -> Response[str]:
    """The response with a page."""
    return Response(html(title, content), media_type=MediaType.HTML, headers=HEADERS)
