"""Failures: what goes wrong in the shop, with the tracebacks that its developers see.

Takes   nothing.
Gives   a `Failure` for each call that can fail with an exception, and the error of the nightly job.
"""

from __future__ import annotations

from .model import Failure, Job, Raised, Time

ERROR_VERSION = "v3.8.0"
"""The payment that cannot charge British pounds."""


def _raised(type_: str, message: str, service: str, *frames: str) -> Raised:
    """An exception that came up through a service's web framework."""
    package = service.replace("-", "_")
    entry = "/usr/lib/python3.12/site-packages/starlette/routing.py:716 app: await route.handle(scope, receive, send)"
    own = tuple(frame if frame.startswith("/") else f"/app/{package}/{frame}" for frame in frames)
    return Raised(type_, message, (entry, *own))


CURRENCY_MISMATCH = Failure(
    1.0,
    http_status=500,
    version=ERROR_VERSION,
    when=("currency", "GBP"),
    first=True,
    reported=True,
    raised=_raised(
        "payment.errors.CurrencyMismatchError",
        "order {order} is in GBP, the account settles in EUR",
        "payment",
        "api/charges.py:41 create_charge: return charges.create(order, card)",
        "charges.py:77 create: amount = converted(order.total, account.currency)",
        "money.py:23 converted: raise CurrencyMismatchError(order.id, order.currency, currency)",
    ),
)

CARD_NETWORK_SILENT = Failure(
    0.003,
    lasts=Time(3000, 0.01),
    reported=True,
    raised=_raised(
        "requests.exceptions.ReadTimeout",
        "HTTPSConnectionPool(host='api.cardnet.example', port=443): Read timed out. (read timeout=3.0)",
        "payment",
        "api/charges.py:41 create_charge: return charges.create(order, card)",
        "charges.py:84 create: answer = cardnet.authorize(amount, card)",
        "cardnet.py:31 authorize: response = session.post(url, json=body, timeout=3.0)",
        "/usr/lib/python3.12/site-packages/requests/adapters.py:690 send: raise ReadTimeout(e, request=request)",
    ),
)

CARD_DECLINED = Failure(0.02, http_status=402)

DEADLOCK = Failure(
    0.001,
    lasts=Time(1000, 0.02),
    raised=_raised(
        "psycopg.errors.DeadlockDetected",
        "deadlock detected",
        "checkout",
        "api/orders.py:58 place_order: order = orders.place(cart, payment)",
        "orders.py:112 place: connection.execute(INSERT_ORDER, values)",
        "/usr/lib/python3.12/site-packages/psycopg/connection.py:300 execute: raise ex.with_traceback(None)",
    ),
)

SEARCH_TIMED_OUT = Failure(
    0.004,
    lasts=Time(2000, 0.01),
    raised=_raised(
        "opensearchpy.exceptions.ConnectionTimeout",
        "ConnectionTimeout caused by - ReadTimeoutError(read timeout=2)",
        "catalog",
        "api/search.py:29 search: hits = index.find(words, page)",
        "index.py:47 find: return client.search(index='products', body=query)",
        "/usr/lib/python3.12/site-packages/opensearchpy/connection/base.py:270 perform_request: raise ConnectionTimeout",
    ),
)

NO_MODEL = Failure(
    0.015,
    http_status=503,
    first=True,
    raised=_raised(
        "recommendation.model.ModelNotLoaded",
        "model 'similar-products' is being loaded",
        "recommendation",
        "api/similar.py:18 similar: return rank(product, candidates)",
        "model.py:64 rank: raise ModelNotLoaded(self.name)",
    ),
)

CARRIER_DOWN = Failure(
    0.006,
    lasts=Time(1500, 0.1),
    raised=_raised(
        "shipping.carriers.CarrierUnavailable",
        "no label for order {order}: 502 from api.parcel.example",
        "shipping",
        "consumer.py:35 on_order_placed: label = carriers.label(order)",
        "carriers.py:52 label: raise CarrierUnavailable(order.id, response.status_code)",
    ),
)

STALE_PRICES = Job(
    "catalog",
    hour_before_end=5.5,
    raised=Raised(
        "catalog.jobs.StalePrices",
        "price list of supplier 417 is 3 days old",
        (
            "/app/catalog/jobs/__main__.py:12 main: import_prices(today)",
            "/app/catalog/jobs/prices.py:66 import_prices: raise StalePrices(supplier, age)",
        ),
    ),
)
