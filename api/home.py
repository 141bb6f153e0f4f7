"""Home: the page at `/`, for somebody who opens the address in a browser."""

from __future__ import annotations

from html import escape
from typing import Any

from litestar import MediaType, Request, Response, route

from .pages import page
from .state import Server

_TEXT = """
<p>An APM you can open in a notebook. Applications send OpenTelemetry traces, errors and deploys to this address;
they are kept as open Parquet tables.</p>
<ul>{links}</ul>
<p>Send traces: <code>OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}/ingest</code> and
<code>OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20&lt;your ingest key&gt;</code></p>
"""

_LINKS = {"/schema": "The HTTP API, described", "/health": "Health"}


@route("/", http_method=["GET", "HEAD"], status_code=200, media_type=MediaType.HTML, include_in_schema=False)
async def home(request: Request[Any, Any, Any], server: Server) -> Response[str]:
    """What this is, with links."""
    links = dict(_LINKS)
    if server.settings.lab_url:
        links[server.settings.lab_url] = "Notebooks in JupyterLab"
    items = "".join(f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for url, text in links.items())
    # the address that the reader has just used, which need not be the one we listen on
    address = request.headers.get("host") or f"{server.settings.host}:{server.settings.port}"
    return page("Tracelake", _TEXT.format(links=items, address=escape(address)))
