"""Calls about nodes: the processes of the server, and the project's own collectors."""

from __future__ import annotations

from msgspec import UNSET

from ..call import JSON, Call, encoded, get, reader, segment
from ..models.nodes import (
    CollectorNode,
    CollectorNodeDetail,
    ForgottenNode,
    Gauges,
    NodeChange,
    NodeRegistration,
)
from ..models.paging import Page
from ..retries import Repeat
from ..transport import Request


def list_nodes(
    *, cluster: str | None = None, status: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[CollectorNode]]:
    """One page of the server's processes and the project's collectors, by name.

    Args:
        status: `healthy`, `degraded` or `offline`.
        limit: nodes of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.
    """
    return get("/v1/nodes", Page[CollectorNode], cluster=cluster, status=status, limit=limit, cursor=cursor)


def get_node(node_id: str) -> Call[CollectorNodeDetail]:
    """One node with its settings and its traffic of the last hour by minute.

    Raises:
        NotFound: there is no such node.
    """
    return get(_path(node_id), CollectorNodeDetail)


def register_node(node: NodeRegistration) -> Call[CollectorNodeDetail]:
    """A collector presents itself, which is a heartbeat too; once more with the same `node_id` changes what it says.

    Raises:
        PermissionDenied: the key is not one that may both ask and send.
    """
    repeat = Repeat.IF_REFUSED if node.node_id is UNSET else Repeat.ALWAYS  # without an id each is a new node
    return _said("POST", "/v1/nodes", node, repeat)


def beat_node(node_id: str, *, metrics: Gauges | None = None) -> Call[CollectorNodeDetail]:
    """A collector is alive; the answer says whether it shall drain.

    Args:
        metrics: what it measures of itself.

    Raises:
        NotFound: there is no such node.
    """
    return _said("POST", f"{_path(node_id)}/heartbeat", {} if metrics is None else {"metrics": metrics})


def change_node(node_id: str, change: NodeChange) -> Call[CollectorNodeDetail]:
    """Name, cluster and labels of a collector, and whether it shall drain, which its next heartbeat tells it.

    Raises:
        NotFound: there is no such node.
        PermissionDenied: the key has not the scope `admin`, or the node is a process of the server.
    """
    return _said("PATCH", _path(node_id), change)


def forget_node(node_id: str) -> Call[ForgottenNode]:
    """Forget a collector and its traffic; what it sent stays.

    Raises:
        NotFound: there is no such node.
        PermissionDenied: the key has not the scope `admin`, or the node is a process of the server.
    """
    return Call(Request("DELETE", _path(node_id)), reader(ForgottenNode))


def _said(method: str, path: str, content: object, repeat: Repeat = Repeat.ALWAYS) -> Call[CollectorNodeDetail]:
    request = Request(method, path, headers={"Content-Type": JSON}, body=encoded(content), repeat=repeat)
    return Call(request, reader(CollectorNodeDetail))


def _path(node_id: str) -> str:
    return f"/v1/nodes/{segment('node_id', node_id)}"
