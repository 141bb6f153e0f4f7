"""client: a server of Tracelake, asked as if it were a lake; knows nothing of files.

    import lake
    with lake.connect("http://localhost:3000", "mtk_live_...") as shop:
        for trace in shop.iter_traces(service="checkout", status="error"):
            print(trace.trace_id, trace.duration_ms)

How a question travels, which is also the order of imports:

    errors, retries   what goes wrong, by what the caller can do; what is sent again, and after how long
    transport         bytes there and back, in bounds; with retries the only module that knows httpx
    models, frames    answers and reports as typed values; rows as Arrow, Polars, pandas
    call, calls       every call of the API: what is sent and how the answer is read
    questions         the calls of a local lake, as SQL for a server
    search            `Lake.search`, as pages of the API and SQL
    methods           a described call -> a method, a coroutine, an iterator over pages
    client            `Client`, `AsyncClient`, `connect`
"""

from .client import AsyncClient, AsyncRemoteLake, Client, RemoteLake, connect, connect_async
from .errors import (
    BadAnswer,
    BadRequest,
    NoAnswer,
    NotFound,
    PermissionDenied,
    RateLimited,
    RemoteError,
    ServerError,
    Truncated,
    Unauthorized,
    Unavailable,
)
from .frames import Result
from .models.reports import DeployReport, ErrorReport
from .questions import Snapshot
from .transport import Limits

__all__ = [
    "AsyncClient",
    "AsyncRemoteLake",
    "BadAnswer",
    "BadRequest",
    "Client",
    "DeployReport",
    "ErrorReport",
    "Limits",
    "NoAnswer",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "RemoteError",
    "RemoteLake",
    "Result",
    "ServerError",
    "Snapshot",
    "Truncated",
    "Unauthorized",
    "Unavailable",
    "connect",
    "connect_async",
]
