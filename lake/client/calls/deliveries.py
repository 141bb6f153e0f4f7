"""Calls about messages: what people were told of alerts, and what did not arrive."""

from __future__ import annotations

from ..call import Call, get, reader, segment
from ..models.deliveries import AlertDelivery
from ..models.paging import Page
from ..transport import Request


def list_alert_deliveries(
    *, status: str | None = None, rule_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[AlertDelivery]]:
    """One page of messages about alerts, the last one first.

    Args:
        status: `pending`, `delivered`, `dead` or `superseded`.
        rule_id: only messages of this rule.
        limit: messages of a page, 1 to 200; without it 50.
        cursor: `next_cursor` of the page before, with the same filters.

    Raises:
        PermissionDenied: the key has not the scope `alerts`.
    """
    return get("/v1/alerts/deliveries", Page[AlertDelivery], status=status, rule_id=rule_id, limit=limit, cursor=cursor)


def retry_alert_delivery(delivery_id: str) -> Call[AlertDelivery]:
    """Try a dead message again, at once and for another day.

    Raises:
        NotFound: there is no such message.
        BadRequest: it is not dead, or newer news has overtaken it.
        PermissionDenied: the key has not the scope `alerts`.
    """
    path = f"/v1/alerts/deliveries/{segment('delivery_id', delivery_id)}/retry"
    return Call(Request("POST", path), reader(AlertDelivery))
