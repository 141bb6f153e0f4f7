"""Home: the page at `/`, for somebody who opens the address in a browser."""

from __future__ import annotations

from html import escape

from litestar import MediaType, Response, get

from .state import Server

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tracelake</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; }}
  code {{ font-size: .9em; }}
</style></head><body>
<h1>Tracelake</h1>
<p>An APM you can open in a notebook. Applications send OpenTelemetry traces, errors and deploys to this address;
they are kept as open Parquet tables.</p>
<ul>{links}</ul>
<p>Send traces: <code>OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}/ingest</code> and
<code>OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20&lt;your ingest key&gt;</code></p>
</body></html>
"""

_LINKS = {"/schema/swagger": "The HTTP API, described", "/health": "Health"}


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def home(server: Server) -> Response[str]:
    """What this is, with links."""
    links = dict(_LINKS)
    if server.settings.lab_url:
        links[server.settings.lab_url] = "Notebooks in JupyterLab"
    items = "".join(f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for url, text in links.items())
    address = f"{server.settings.host}:{server.settings.port}"
    return Response(
        _PAGE.format(links=items, address=escape(address)),
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "X-Frame-Options": "DENY"},
    )
