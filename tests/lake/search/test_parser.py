"""Text to tree and back; what is wrong with a text, and where."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.search import InvalidQuery, parse
from lake.search.parser import MAX_CHARACTERS, MAX_DEPTH, MAX_PREDICATES
from lake.search.tree import Comparison, Field, Literal, Query, Spanset
from tests.lake.search import asked

SAME = [
    ('service.name = "api-gateway" AND duration > 100ms', '{ .service.name = "api-gateway" && duration > 100ms }'),
    ("service == 'cart' && kind<>server", '{ .service.name = "cart" && kind != server }'),
    ("a.b = 1 or c.d = 2 and e.f = 3", "{ .a.b = 1 || .c.d = 2 && .e.f = 3 }"),
    ("(a.b = 1 or c.d = 2) and not e.f = 3", "{ (.a.b = 1 || .c.d = 2) && NOT .e.f = 3 }"),
    ("{.a=1} || {.b=2} && {.c=3} > {.d=4}", "{ .a = 1 } || { .b = 2 } && { .c = 3 } > { .d = 4 }"),
    ("({.a=1} || {.b=2}) >> ({.c=3} ~ {.d=4})", "({ .a = 1 } || { .b = 2 }) >> ({ .c = 3 } ~ { .d = 4 })"),
    ("{.a=1} !> {.b=1} &>> {.c=1} !~ {.d=1}", "{ .a = 1 } !> { .b = 1 } &>> { .c = 1 } !~ { .d = 1 }"),
    ("x IS NULL and exists y and z NOT EXISTS and w is not nil", "{ .x = nil && .y != nil && .z = nil && .w != nil }"),
    ("x in (1, 'a', true, error) and y not in (2)", '{ .x IN (1, "a", true, error) && .y NOT IN (2) }'),
    ("x between 1 and 2 and y not between -1.5 and 1e3", "{ .x BETWEEN 1 AND 2 && .y NOT BETWEEN -1.5 AND 1000.0 }"),
    ("name like 'a%' and name NOT ILIKE 'b_' and name contains 'c'",
     '{ name LIKE "a%" && name NOT ILIKE "b_" && name CONTAINS "c" }'),
    (r"name =~ 'GET \d+' and name !~ `a\.b`", r'{ name =~ "GET \\d+" && name !~ "a\\.b" }'),
    ("attr('odd key') = 1 and .\"x y\" = 2 and resource.'a b' = 3",
     '{ ."odd key" = 1 && ."x y" = 2 && resource."a b" = 3 }'),
    ("error = true and status = error", "{ .error = true && status = error }"),
    ("span:duration > 1h30m and x.size > 1.5KiB", "{ duration > 90m && .x.size > 1536B }"),
    ("-x.y + 2 * (3 - z.w) ^ 2 > -5", "{ -.x.y + 2 * (3 - .z.w) ^ 2 > -5 }"),
    ("{ parent.a = 1 && parent.span.b = 2 && parent.resource.c = 3 }",
     "{ parent.a = 1 && parent.span.b = 2 && parent.resource.c = 3 }"),
    ("root.name = 'a' and trace.duration > 1s and traceDuration < 2s",
     '{ trace:rootName = "a" && trace:duration > 1s && trace:duration < 2s }'),
    ("{} | by(.a, .b) | count() > 2 | coalesce() | avg(duration) * 2 >= 1s | select(name)",
     "{ } | by(.a, .b) | count() > 2 | coalesce() | avg(duration) * 2 >= 1s | select(name)"),
    ("x.y = 1 | { .z = 2 } | rate() by(name) > 5", "{ .x.y = 1 } | { .z = 2 } | rate() by(name) > 5"),
    ("{ } | quantile_over_time(duration, .5, 0.99) by(.a) > 100ms",
     "{ } | quantile_over_time(duration, 0.5, 0.99) by(.a) > 100ms"),
    ("{ .flag }", "{ .flag = true }"),
    ("{ true }", "{ }"),
    ("false", "{ false }"),
    ("3 > cached and true = error", "{ 3 > .cached && true = .error }"),
    ("android = 1 and in.x = 2 and order.id = 3", "{ .android = 1 && .in.x = 2 && .order.id = 3 }"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "printed"), SAME)
def test_a_query_is_printed_in_one_way(text, printed):
    assert str(parse(text)) == printed
    assert parse(printed) == parse(text)


WRONG = [
    ("", 1, "expected a field"),
    ("duration >", 11, "the query ends here"),
    ("duration > 100xs", 12, "expected a field, a text in quotes, a number, a duration"),
    ('service.name == "a" AND', 24, "the query ends here"),
    ("{ a.b = 1", 10, "expected '}'"),
    ("a.b = 1)", 8, "expected '|' or the end, there is ')'"),
    ("service.name = checkout", 16, 'write "checkout" for a text, .checkout for an attribute'),
    ("status = 'errr'", 10, "status is one of unset, ok, error"),
    ("status > error", 1, "have no order"),
    ("duration = 'x'", 12, "a number is compared with a number"),
    ("duration =~ 'x'", 1, "=~ is for texts"),
    ("name =~ '('", 9, "missing )"),
    ("name =~ '" + "a" * 513 + "'", 9, "at most 512 characters"),
    ("name =~ name", 9, "=~ is followed by a text in quotes"),
    ("(a.b = 1) + 2 = 3", 2, "arithmetic is done with numbers"),
    ("'x' = 'y'", 1, "one side of a comparison is a field"),
    ("event.a = link.b", 11, "about events or about links"),
    ("x.y = 1 | count()", 18, "the query ends here"),
    ("x.y = 1 | 1 > 2", 13, "compare count()"),
    ("x.y = 1 | avg(name) > 1", 15, "is of a field with numbers"),
    ("{} | by(event.x)", 9, "many events and links"),
    ("{} | quantile_over_time(duration, 2)", 35, "a quantile is from 0 to 1"),
    ("span:nothing = 1", 1, "there is no span:nothing; there are span:childCount"),
    ("x < nil", 5, "nil is compared with = or != only"),
    ("x.y = 9e999", 7, "beyond all numbers"),
    ("x.y = 99999999h", 7, "beyond what a duration can be"),
    ("x in (y)", 7, 'write "y"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "problem"), WRONG)
def test_what_is_wrong_is_said_with_its_position(text, position, problem):
    with pytest.raises(InvalidQuery) as caught:
        parse(text)
    assert caught.value.position == position
    assert problem in caught.value.problem
    assert caught.value.param == "query"


def test_a_caret_stands_below_what_is_wrong():
    with pytest.raises(InvalidQuery) as caught:
        parse('name = "x"\nAND duration > fast\nAND kind = server')
    _, line, caret = str(caught.value).splitlines()
    assert line == "AND duration > fast"
    assert line[caret.index("^") :] == "fast"


BEYOND = {
    "characters": ("x.y = '" + "a" * MAX_CHARACTERS + "'", f"at most {MAX_CHARACTERS} characters"),
    "depth": ("not " * MAX_DEPTH + "x.y = 1", f"at most {MAX_DEPTH} levels deep"),
    "sums": ("x.y = 1" + " + 1" * MAX_DEPTH, f"at most {MAX_DEPTH} levels deep"),
    "predicates": (" and ".join(["x.y = 1"] * (MAX_PREDICATES + 1)), f"at most {MAX_PREDICATES} comparisons"),
}


@pytest.mark.parametrize("name", BEYOND)
def test_a_query_beyond_a_limit_is_refused(name):
    text, problem = BEYOND[name]
    with pytest.raises(InvalidQuery, match=problem):
        parse(text)


def test_a_query_at_the_limits_is_read():
    parse("not " * (MAX_DEPTH - 4) + "x.y = 1")
    parse(" and ".join(["x.y = 1"] * MAX_PREDICATES))
    parse("x.y = '" + "a" * (MAX_CHARACTERS - 8) + "'")
    parse("(" * 1000 + "x.y = 1" + ")" * 1000)


DEEP = ["(", "{", "-", "not ", "!", "1+", "({", "x in (", "{}>", "a.b=1 and ", "{} | by(", '"']


@pytest.mark.parametrize("start", DEEP)
def test_no_text_exhausts_the_stack(start):
    with pytest.raises(InvalidQuery):
        parse((start * MAX_CHARACTERS)[:MAX_CHARACTERS])


@given(seed=st.integers(0, 2**32))
def test_what_is_printed_is_read_as_the_same(seed):
    query = parse(asked.query(seed).text)
    assert parse(str(query)) == query
    assert str(parse(str(query))) == str(query)


@given(text=st.text(max_size=60) | st.text(alphabet="{}()|&<>=!~.,\"'` \\+-*/%^:0123456789abdehimnorstx", max_size=60))
def test_any_text_is_a_query_or_an_invalid_one(text):
    try:
        query = parse(text)
    except InvalidQuery as error:
        position = error.position
    else:
        position = 1
        assert parse(str(query)) == query
    assert 1 <= position <= len(text) + 1


@given(text=st.text())
def test_any_text_can_be_compared_with(text):
    query = parse(f"x = {quoted(text)}")
    assert query == Query(Spanset(Comparison("=", Field("any", "x"), Literal(text, "text"))))
    assert parse(str(query)) == query


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def mutated(rnd, text):
    """A query with some of its characters gone, doubled, moved or replaced."""
    for _ in range(rnd.randrange(1, 4)):
        place, length = rnd.randrange(len(text) + 1), rnd.randrange(1, 5)
        piece = rnd.choice(["", rnd.choice(string.printable), text[place : place + length] * 2, "\0", "é", '"', "{", ")"])
        text = text[:place] + piece + text[place + length :]
    return text
