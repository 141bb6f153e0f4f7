"""Equal errors have equal fingerprints, the same as those of the Ruby gem, and stand at the line of the application."""

from __future__ import annotations

import re
from hashlib import sha256

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.fingerprint import app_lines, fingerprints

PYTHON = """\
Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/flask/app.py", line 867, in full_dispatch_request
    rv = self.dispatch_request()
  File "/srv/shop/views.py", line 31, in checkout
    total = cart.total()
  File "/srv/shop/cart.py", line 12, in total
    return sum(item["price"] for item in self.items)
  File "/usr/lib/python3.12/json/decoder.py", line 338, in decode
    obj, end = self.raw_decode(s)
KeyError: 'price'
"""
PYTHON_CHAIN = """\
Traceback (most recent call last):
  File "/srv/shop/cart.py", line 12, in total
    return prices[item]
KeyError: 'price'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/srv/shop/checkout.py", line 40, in pay
    raise CheckoutError("no price") from error
shop.CheckoutError: no price
"""
NODE = """\
TypeError: Cannot read properties of undefined (reading 'price')
    at Array.map (<anonymous>)
    at total (/srv/shop/src/cart.js:12:34)
    at Layer.handle [as handle_request] (/srv/shop/node_modules/express/lib/router/layer.js:95:5)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
"""
NODE_LIBRARY_FIRST = """\
Error: connect ECONNREFUSED 127.0.0.1:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)
    at /srv/shop/node_modules/pg-pool/index.js:45:11
    at async checkout (/srv/shop/src/checkout.js:8:3)
"""
BROWSER = """\
checkout@https://shop.example/assets/app.js:2:1123
onclick@https://shop.example/assets/app.js:1:88
"""
JAVA = """\
java.lang.IllegalStateException: no price
\tat java.base/java.util.Optional.orElseThrow(Optional.java:403)
\tat com.shop.Cart.total(Cart.java:42)
\tat com.shop.Checkout.pay(Checkout.java:17)
\tat jakarta.servlet.http.HttpServlet.service(HttpServlet.java:590)
Caused by: java.lang.NullPointerException
\tat com.shop.Price.of(Price.java:9)
\t... 3 more
"""
DOTNET = """\
System.NullReferenceException: Object reference not set to an instance of an object.
   at System.Collections.Generic.Dictionary`2.get_Item(TKey key)
   at Shop.Cart.Total() in /src/Shop/Cart.cs:line 12
"""
RUBY = """\
<internal:array>:54:in 'Array#each'
/usr/local/bundle/gems/rack-3.1.7/lib/rack.rb:10:in 'call'
/usr/local/lib/ruby/3.4.0/net/http.rb:1603:in 'initialize'
/srv/shop/vendor/bundle/x.rb:1:in 'x'
app/models/user.rb:42:in 'display_name'
app/controllers/users_controller.rb:15:in 'show'
"""


def location(backtrace: str) -> str | None:
    found: str | None = app_lines(pa.array([backtrace.splitlines()], pa.list_(pa.string())))[0].as_py()
    return found


def fingerprint(class_: str, message: str, line: str | None) -> str:
    found: str = fingerprints(*(pa.array([text], pa.string()) for text in (class_, message, line)))[0].as_py()
    return found


@pytest.mark.parametrize(
    ("class_", "message", "line", "expected"),
    [
        ("RecordNotFound", "Couldn't find User with ID=123", "app/models/user.rb:10", "527a556a043d862fa359e000a77da7a5"),
        ("RecordNotFound", "Couldn't find User with ID=456", "app/models/user.rb:10", "527a556a043d862fa359e000a77da7a5"),
        (
            "StandardError",
            "Something went wrong during processing",
            "app/models/user.rb:42:in `save'",
            "69656c0bf868b1efabc722ceccfd8ad6",
        ),
        (
            "PaymentError",
            "Payment gateway timeout",
            "app/services/payment_processor.rb:55",
            "34ffbe99340fb9f82ce5e5b14d43530b",
        ),
    ],
)
def test_fingerprints_are_those_that_the_gem_sent(class_, message, line, expected):
    assert fingerprint(class_, message, location(line)) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 1 not found", "user 23456 not found"),
        ("no order 0b6ac0de-7f6b-4c38-9d0c-b4d9cfd5a6ad", "no order FFFFFFFF-0000-1111-2222-333344445555"),
        ("undefined method 'name' for nil", "undefined method 'full_name' for nil"),
        ('no column "a"', 'no column "b"'),
        ("x" * 200, "x" * 200 + " and more"),
    ],
)
def test_messages_that_differ_in_ids_numbers_and_quoted_texts_are_the_same_error(one, other):
    assert fingerprint("E", one, None) == fingerprint("E", other, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("E", "a", None), ("F", "a", None)),
        (("E", "a", None), ("E", "b", None)),
        (("E", "a", "x.rb:1"), ("E", "a", "x.rb:2")),
        (("E", "a", "x.rb:1"), ("E", "a", None)),
        (("E", "error4you", None), ("E", "error5you", None)),
        (("E", "x" * 199 + "y", None), ("E", "x" * 200, None)),
    ],
)
def test_class_message_and_line_tell_errors_apart(one, other):
    assert fingerprint(*one) != fingerprint(*other)


@pytest.mark.parametrize(
    ("backtrace", "line"),
    [
        (RUBY, "app/models/user.rb:42:in 'display_name'"),
        (PYTHON, 'File "/srv/shop/cart.py", line 12, in total'),
        (PYTHON_CHAIN, 'File "/srv/shop/checkout.py", line 40, in pay'),
        (NODE, "at total (/srv/shop/src/cart.js:12:34)"),
        (NODE_LIBRARY_FIRST, "at async checkout (/srv/shop/src/checkout.js:8:3)"),
        (BROWSER, "checkout@https://shop.example/assets/app.js:2:1123"),
        (JAVA, "at com.shop.Cart.total(Cart.java:42)"),
        (DOTNET, "at Shop.Cart.Total() in /src/Shop/Cart.cs:line 12"),
        ("", None),
        ("/gems/a.rb:1\n/ruby/b.rb:2", None),
        ('Traceback (most recent call last):\n  File "/x/site-packages/y.py", line 1, in y', None),
    ],
)
def test_the_location_is_the_line_of_the_application(backtrace, line):
    assert location(backtrace) == line


def test_no_errors_have_no_locations():
    empty = pa.array([], pa.string())
    assert len(app_lines(pa.array([], pa.list_(pa.string())))) == 0
    assert len(fingerprints(empty, empty, empty)) == 0


LINES = st.sampled_from([*RUBY.splitlines(), *PYTHON.splitlines(), *NODE.splitlines(), *JAVA.splitlines(), "", " ", "é"])
BACKTRACES = st.lists(st.none() | st.lists(LINES, max_size=12), max_size=8)


@settings(deadline=None)
@given(BACKTRACES, st.integers(0, 3))
def test_a_location_does_not_depend_on_the_rows_beside_it(backtraces, start):
    column = pa.array(backtraces, pa.list_(pa.string())).slice(start)
    alone = [app_lines(pa.array([backtrace], pa.list_(pa.string())))[0].as_py() for backtrace in backtraces[start:]]
    assert app_lines(column).to_pylist() == alone


def gem(class_: str, message: str, line: str | None) -> str:
    """The steps of the gem, one by one; word boundaries are those of ASCII."""
    message = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", message, flags=re.IGNORECASE)
    message = re.sub(r"\b\d+\b", "N", message, flags=re.ASCII)
    message = re.sub(r"'[^']*'", "'X'", message)
    message = re.sub(r'"[^"]*"', '"X"', message)[:200]
    return sha256("\n".join([class_, message] + ([line] if line else [])).encode()).hexdigest()[:32]


WORDS = st.sampled_from(
    ["12", "0b6ac0de-7f6b-4c38-9d0c-b4d9cfd5a6ad", "'", '"', "a1", "_", "-", " ", "\n", "é", "user", "x" * 60]
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.lists(WORDS).map("".join) | st.text(), st.none() | st.text(min_size=1)), min_size=1))
def test_any_fingerprint_takes_the_steps_of_the_gem(errors):
    columns = [pa.array(column, pa.string()) for column in zip(*errors, strict=True)]
    assert fingerprints(*columns).to_pylist() == [gem(*error) for error in errors]
