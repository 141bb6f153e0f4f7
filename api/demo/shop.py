"""Shop: eight services that sell things, and what happened to them in nine days.

Takes   nothing.
Gives   `SHOP`.

To read it: an endpoint of the gateway is a tree of calls, from the browser's request down to the databases. The story of
its deploys is told in docs/demo.md, and tests/api/demo holds that the spans tell it too.
"""

from __future__ import annotations

from datetime import timedelta

from .calls import ask, ask_outside, process, publish, redis, search, serve, sql, work
from .failures import (
    CARD_DECLINED,
    CARD_NETWORK_SILENT,
    CARRIER_DOWN,
    CURRENCY_MISMATCH,
    DEADLOCK,
    ERROR_VERSION,
    NO_MODEL,
    SEARCH_TIMED_OUT,
    STALE_PRICES,
)
from .model import Call, Deploy, Detail, Endpoint, Failure, Service, Shop, Time

SLOW_VERSION = "v4.12.0"
"""The checkout that looks for orders without an index."""

SERVICES = (
    Service("api-gateway", "v5.2.1", pods=3),
    Service("catalog", "v2.13.4", pods=3),
    Service("cart", "v1.9.1"),
    Service("checkout", "v4.11.2"),
    Service("payment", "v3.7.2"),
    Service("shipping", "v2.2.0"),
    Service("recommendation", "v0.30.1"),
    Service("accounts", "v1.21.3"),
)

DETAILS = (
    Detail("product", 10_000, 99_999),
    Detail("cart", 1_000_000, 9_999_999),
    Detail("order", 1_000_000, 9_999_999),
    Detail("user", 10_000, 99_999),
    Detail("client", 100, 254),
    Detail("currency", words=("EUR", "USD", "GBP"), weights=(0.62, 0.28, 0.10)),
)

DEPLOYS = (
    Deploy(timedelta(days=8, hours=5), "catalog", "v2.14.0", "Ines", "Product pages show the delivery date"),
    Deploy(timedelta(days=6, hours=20), "cart", "v1.9.2", "Tom", "Carts are kept for 30 days"),
    Deploy(timedelta(days=5, hours=4), "shipping", "v2.3.0", "Yara", "Second carrier"),
    Deploy(timedelta(days=4, hours=7), "api-gateway", "v5.3.0", "ci", "Dependencies"),
    Deploy(timedelta(days=3, hours=18), "checkout", "v4.11.3", "Ravi", "Clearer texts of confirmation mails"),
    Deploy(timedelta(days=2, hours=9), "recommendation", "v0.31.0", "Ines", "New ranking model"),
    Deploy(timedelta(hours=23, minutes=30), "payment", ERROR_VERSION, "Tom", "Currency is taken from the account"),
    Deploy(timedelta(hours=21), "payment", "v3.7.2", "Tom", "Roll back v3.8.0"),
    Deploy(timedelta(hours=9), "accounts", "v1.22.0", "ci", "Dependencies"),
    Deploy(timedelta(hours=6), "catalog", "v2.15.0", "Yara", "Search understands plurals"),
    Deploy(timedelta(hours=3), "checkout", SLOW_VERSION, "Ravi", "Find double orders whatever the case of the e-mail"),
)

BROWSER: dict[str, str | int] = {
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "client.address": "203.0.113.{client}",
    "user.id": "u-{user}",
}


def _gateway(route: str, *calls: Call, path: str = "") -> Call:
    return serve("api-gateway", route, *calls, path=path, takes=Time(2.5), attributes=BROWSER)


def _browse() -> Call:
    fill = work(
        "catalog",
        "fill cache",
        sql(
            "catalog", "SELECT id, name, price FROM products WHERE category = %s LIMIT 24", table="products", takes=Time(11)
        ),
        redis("catalog", "SET category:?", takes=Time(0.6)),
        takes=Time(0.8),
        share=0.25,
    )
    products = serve("catalog", "GET /products", redis("catalog", "GET category:?", takes=Time(0.5)), fill, takes=Time(6))
    return _gateway("GET /api/products", ask("api-gateway", products))


def _product() -> Call:
    query = "SELECT id, name, price, stock FROM products WHERE id = %s"
    page = serve(
        "catalog",
        "GET /products/{product_id}",
        redis("catalog", "GET product:?", takes=Time(0.5)),
        sql("catalog", query, table="products", takes=Time(4), share=0.2),
        path="/products/{product}",
        takes=Time(5),
        failures=(Failure(0.008, http_status=404),),
    )
    similar = serve(
        "recommendation",
        "GET /similar/{product_id}",
        redis("recommendation", "ZREVRANGE similar:? 0 50", takes=Time(0.8)),
        work("recommendation", "rank candidates", takes=Time(18, 0.45)),
        path="/similar/{product}",
        takes=Time(3),
        failures=(NO_MODEL,),
    )
    return _gateway(
        "GET /api/products/{product_id}",
        ask("api-gateway", page),
        ask("api-gateway", similar, share=0.4, together=True, optional=True),
        path="/api/products/{product}",
    )


def _search() -> Call:
    find = serve(
        "catalog",
        "GET /search",
        search("catalog", "products", takes=Time(42, 0.5), failures=(SEARCH_TIMED_OUT,)),
        takes=Time(5),
    )
    return _gateway("GET /api/search", ask("api-gateway", find))


def _cart() -> Call:
    read = redis("cart", "HGETALL cart:?", takes=Time(0.7))
    show = serve("cart", "GET /carts/{cart_id}", read, path="/carts/{cart}", takes=Time(4))
    return _gateway("GET /api/cart", ask("api-gateway", show))


def _add_to_cart() -> Call:
    write = redis("cart", "HSET cart:? ? ?", takes=Time(0.8))
    add = serve("cart", "POST /carts/{cart_id}/items", write, path="/carts/{cart}/items", takes=Time(6))
    return _gateway("POST /api/cart/items", ask("api-gateway", add))


def _place_order() -> Call:
    """The longest way through the shop, and where its two bad deploys show."""
    read = redis("cart", "HGETALL cart:?", takes=Time(0.7))
    cart = serve("cart", "GET /carts/{cart_id}", read, path="/carts/{cart}", takes=Time(4))
    charge = serve(
        "payment",
        "POST /charges",
        ask_outside(
            "payment",
            "POST /v2/authorizations",
            host="api.cardnet.example",
            takes=Time(105, 0.35),
            failures=(CARD_NETWORK_SILENT, CARD_DECLINED),
        ),
        sql(
            "payment",
            "INSERT INTO charges (order_id, amount, currency) VALUES (%s, %s, %s)",
            table="charges",
            takes=Time(4),
        ),
        takes=Time(6),
        failures=(CURRENCY_MISMATCH,),
        attributes={"shop.currency": "{currency}"},
    )
    label = process(
        "shipping",
        "orders.placed",
        ask_outside(
            "shipping",
            "POST /labels",
            host="api.parcel.example",
            takes=Time(160, 0.4),
            failures=(CARRIER_DOWN,),
        ),
        sql("shipping", "INSERT INTO shipments (order_id, label) VALUES (%s, %s)", table="shipments", takes=Time(4)),
        delay=Time(35, 0.8),
        takes=Time(5),
    )
    order = serve(
        "checkout",
        "POST /orders",
        *_find_double(),
        ask("checkout", cart),
        ask("checkout", charge),
        sql(
            "checkout",
            "INSERT INTO orders (email, cart_id, total, currency) VALUES (%s, %s, %s, %s) RETURNING id",
            table="orders",
            takes=Time(6),
            failures=(DEADLOCK,),
        ),
        publish("checkout", "orders.placed", label, takes=Time(2)),
        takes=Time(9),
        attributes={"shop.currency": "{currency}"},
    )
    return _gateway("POST /api/orders", ask("api-gateway", order))


def _find_double() -> tuple[Call, Call]:
    """The same question to the database before and since `SLOW_VERSION`: no index has lower(email)."""
    before = "SELECT id FROM orders WHERE email = %s AND placed_at > %s"
    since = "SELECT id FROM orders WHERE lower(email) = lower(%s) AND placed_at > %s"
    return (
        sql("checkout", before, table="orders", takes=Time(2.5), never=SLOW_VERSION),
        sql("checkout", since, table="orders", takes=Time(190, 0.35), only=SLOW_VERSION),
    )


def _order() -> Call:
    query = "SELECT id, state, total, currency FROM orders WHERE id = %s"
    show = serve(
        "checkout",
        "GET /orders/{order_id}",
        sql("checkout", query, table="orders", takes=Time(3)),
        path="/orders/{order}",
        takes=Time(5),
        failures=(Failure(0.005, http_status=404),),
    )
    return _gateway("GET /api/orders/{order_id}", ask("api-gateway", show), path="/api/orders/{order}")


def _log_in() -> Call:
    log_in = serve(
        "accounts",
        "POST /sessions",
        sql("accounts", "SELECT id, password_hash FROM accounts WHERE email = %s", table="accounts", takes=Time(3)),
        redis("accounts", "SETEX session:? ? ?", takes=Time(0.6)),
        takes=Time(85, 0.15),  # most of it is the hash of the password
        failures=(Failure(0.05, http_status=401),),
    )
    return _gateway("POST /api/login", ask("api-gateway", log_in))


def _account() -> Call:
    query = "SELECT id, name, email FROM accounts WHERE id = %s"
    show = serve(
        "accounts",
        "GET /accounts/{account_id}",
        sql("accounts", query, table="accounts", takes=Time(3)),
        path="/accounts/{user}",
        takes=Time(4),
    )
    return _gateway("GET /api/account", ask("api-gateway", show))


def _quote() -> Call:
    quote = serve(
        "shipping",
        "GET /quotes",
        ask_outside("shipping", "GET /rates", host="api.parcel.example", takes=Time(70, 0.4)),
        takes=Time(4),
    )
    return _gateway("GET /api/shipping/quotes", ask("api-gateway", quote))


SHOP = Shop(
    services=SERVICES,
    endpoints=(
        Endpoint(18, _browse()),
        Endpoint(19, _product()),
        Endpoint(10, _search()),
        Endpoint(10, _cart()),
        Endpoint(10, _add_to_cart()),
        Endpoint(18, _place_order()),
        Endpoint(5, _order()),
        Endpoint(4, _log_in()),
        Endpoint(4, _account()),
        Endpoint(2, _quote()),
    ),
    deploys=DEPLOYS,
    details=DETAILS,
    jobs=(STALE_PRICES,),
    resource={"service.namespace": "shop", "k8s.cluster.name": "eu-1"},
)
