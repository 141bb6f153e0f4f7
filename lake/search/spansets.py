"""Spansets: which spans of whole traces a query is about, as common table expressions.

Takes   a query without its metric, and a relation with every span of the traces once.
Gives   SQL whose last relation has the spans that are meant and the group that a pipeline put each one in.
Refuses nothing.

A set of spans is a relation (n, trace_id, span_id, parent_span_id); n is the number of a row among the spans. Relations of
parent and child follow ids and nothing else, so they end in broken traces too: a parent that is missing has no
children here, and where links form a circle each span of it is a descendant of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .conditions import Conditions, fields_of
from .fields import Columns
from .tree import (
    Aggregate,
    Arithmetic,
    By,
    Coalesce,
    Either,
    Filter,
    Literal,
    Negative,
    Node,
    Operand,
    Parent,
    Query,
    Select,
    Spanset,
    Spansets,
    Stage,
    Structural,
)
from .values import Values

START_NS = "epoch_us(start_time) * 1000 + start_ns_remainder"

BASE_COLUMNS = frozenset(
    {"trace_id", "span_id", "parent_span_id", "kind", "start_time", "start_ns_remainder", "duration_ns"}
)
"""Columns that the spans must have beside those of the fields."""

_HOW = {"members": "MATERIALIZED "}
"""Numbers of rows must not change between two looks at them."""

_CONVERSE = {">": "<", "<": ">", ">>": "<<", "<<": ">>", "~": "~"}

_TRACES = """SELECT trace_id, max(start_ns + duration_ns) - min(start_ns) AS trace_duration_ns, count(*) AS trace_span_count,
            arg_min(struct_pack(name := name, service_name := service_name),
                row(parent_span_id IS NOT NULL, start_ns, -duration_ns, span_id, kind)) AS root
        FROM members GROUP BY trace_id"""
"""What a span knows of its trace; the root is chosen as in `lake.queries.TRACES`."""

_CHILDREN = "SELECT trace_id, parent_span_id AS span_id, count(*) AS child_count FROM members GROUP BY ALL"

_PARENTS = """SELECT * FROM members QUALIFY row_number() OVER (PARTITION BY trace_id, span_id ORDER BY start_ns, kind) = 1"""
"""Client and server may share a span id: then the one that came first is the parent."""


def columns_of(node: Node, columns: Columns) -> set[str]:
    """The columns of `spans` that a query needs of the spans it is judged by."""
    found = set(BASE_COLUMNS)
    for known in fields_of(node):
        found |= columns.needed(known)
    if needs_traces(node):
        found |= {"name", "service_name"}
    return found


def needs_traces(node: Node) -> bool:
    """Whether a field is about the trace as a whole."""
    return any(not isinstance(known, Parent) and known.key.startswith("trace:") and known.scope == "intrinsic"
               and known.key != "trace:id" for known in fields_of(node))  # fmt: skip


@dataclass(slots=True)
class SpansetSql:
    """Common table expressions over `members`: the spans with a number `n` and `start_ns`."""

    columns: Columns
    values: Values
    expressions: list[tuple[str, str]] = field(default_factory=list)
    _from: str = "s"

    def build(self, query: Query) -> str:
        """Add what a query means; returns the name of its relation (n, trace_id, g)."""
        self._add_spans(query)
        name = self._add(f"SELECT n, trace_id, []::VARCHAR[] AS g FROM {self._spansets(query.spansets)}", "stage")
        for stage in query.stages:
            name = self._stage(stage, name)
        return name

    def text(self) -> str:
        """The expressions, to put before a SELECT."""
        return "WITH RECURSIVE " + ",\n    ".join(f"{name} AS {_HOW.get(name, '')}({sql})" for name, sql in self.expressions)

    @property
    def source(self) -> str:
        """What a value of `Conditions` can be selected from."""
        return self._from

    def conditions(self) -> Conditions:
        return Conditions(self.columns, self.values)

    def _add(self, sql: str, kind: str) -> str:
        name = f"{kind}_{len(self.expressions)}"
        self.expressions.append((name, sql))
        return name

    def _add_spans(self, query: Query) -> None:
        fields = list(fields_of(query))
        joins, extra = "", ""
        if needs_traces(query):
            self.expressions.append(("of_traces", _TRACES))
            joins += " JOIN of_traces t USING (trace_id)"
            extra += ", t.trace_duration_ns, t.trace_span_count, t.root"
        if any(not isinstance(known, Parent) and known.key == "span:childCount" for known in fields):
            self.expressions.append(("of_children", _CHILDREN))
            joins += " LEFT JOIN of_children c ON c.trace_id = m.trace_id AND c.span_id = m.span_id"
            extra += ", c.child_count"
        self.expressions.append(("s", f"SELECT m.*{extra} FROM members m{joins}"))
        if any(isinstance(known, Parent) for known in fields):
            self.expressions.append(("parents", _PARENTS))
            self._from = "s LEFT JOIN parents p ON p.trace_id = s.trace_id AND p.span_id = s.parent_span_id"

    def _spansets(self, node: Spansets) -> str:
        if isinstance(node, Spanset):
            where = self.conditions().sql(node.condition)
            return self._add(
                f"SELECT s.n, s.trace_id, s.span_id, s.parent_span_id FROM {self._from} WHERE {where}", "spanset"
            )
        if isinstance(node, Structural):
            return self._structural(node.op, self._spansets(node.left), self._spansets(node.right))
        parts = [self._spansets(part) for part in node.parts]
        together = " UNION ".join(f"SELECT * FROM {part}" for part in parts)
        if isinstance(node, Either):
            return self._add(together, "either")
        everywhere = " AND ".join(f"trace_id IN (SELECT trace_id FROM {part})" for part in parts)
        return self._add(f"SELECT * FROM ({together}) WHERE {everywhere}", "both")

    def _structural(self, op: str, left: str, right: str) -> str:
        relation = op.lstrip("!&")
        found = self._related(relation, left, right)
        if op.startswith("!"):
            return self._add(f"SELECT * FROM {right} WHERE n NOT IN (SELECT n FROM {found})", "unrelated")
        if op.startswith("&"):
            others = self._related(_CONVERSE[relation], right, left)
            return self._add(f"SELECT * FROM {found} UNION SELECT * FROM {others}", "both_sides")
        return found

    def _related(self, relation: str, left: str, right: str) -> str:
        """The spans of the right that stand so to one of the left."""
        if relation in (">>", "<<"):
            reached = self._reached(left, down=relation == ">>")
            return self._add(f"SELECT * FROM {right} WHERE n IN (SELECT n FROM {reached})", "related")
        link = {
            ">": "b.parent_span_id = a.span_id",
            "<": "b.span_id = a.parent_span_id",
            "~": "b.parent_span_id = a.parent_span_id AND b.n != a.n",
        }[relation]
        return self._add(
            f"SELECT b.* FROM {right} b WHERE EXISTS (SELECT 1 FROM {left} a WHERE a.trace_id = b.trace_id AND {link})",
            "related",
        )

    def _reached(self, left: str, *, down: bool) -> str:
        """Every span below, or above, one of the left; UNION drops what was reached before, so circles end."""
        link = "m.parent_span_id = r.span_id" if down else "m.span_id = r.parent_span_id"
        columns = "m.n, m.trace_id, m.span_id, m.parent_span_id"
        name = f"reached_{len(self.expressions)}"
        step = f"SELECT {columns} FROM {{}} r JOIN members m ON m.trace_id = r.trace_id AND {link}"
        self.expressions.append((name, f"{step.format(left)} UNION {step.format(name)}"))
        return name

    def _stage(self, stage: Stage, before: str) -> str:
        if isinstance(stage, Spanset):
            where = self.conditions().sql(stage.condition)
            kept = f"SELECT s.n FROM {self._from} WHERE {where}"
            return self._add(f"SELECT * FROM {before} WHERE n IN ({kept})", "stage")
        if isinstance(stage, By):
            added = ", ".join(map(self.conditions().text, stage.operands))
            values = f"SELECT s.n, [{added}] AS added FROM {self._from}"
            joined = f"{before} b JOIN ({values}) v USING (n)"
            return self._add(f"SELECT n, b.trace_id, list_concat(b.g, v.added) AS g FROM {joined}", "stage")
        if isinstance(stage, Coalesce):
            return self._add(f"SELECT n, trace_id, []::VARCHAR[] AS g FROM {before}", "stage")
        if isinstance(stage, Filter):
            return self._filter(stage, before)
        assert isinstance(stage, Select)  # noqa: S101 - the last of the union
        return before

    def _filter(self, stage: Filter, before: str) -> str:
        """The spans of the groups that the comparison holds for."""
        measured: list[str] = []
        aggregates: list[str] = []
        left = self._scalar(stage.comparison.left, measured, aggregates)
        right = self._scalar(stage.comparison.right, measured, aggregates)
        values = f"SELECT s.n{''.join(f', {sql} AS x{i}' for i, sql in enumerate(measured))} FROM {self._from}"
        listed = "".join(f", {sql} AS a{i}" for i, sql in enumerate(aggregates))
        groups = f"SELECT b.trace_id, b.g{listed} FROM {before} b JOIN ({values}) v USING (n) GROUP BY b.trace_id, b.g"
        kept = f"SELECT trace_id, g FROM ({groups}) WHERE {left} {stage.comparison.op} {right}"
        return self._add(
            f"SELECT b.* FROM {before} b JOIN ({kept}) k ON k.trace_id = b.trace_id AND k.g IS NOT DISTINCT FROM b.g",
            "stage",
        )

    def _scalar(self, operand: Operand, measured: list[str], aggregates: list[str]) -> str:
        """A number of a group; adds what is measured of each span, and the aggregates of it."""
        if isinstance(operand, Aggregate):
            if operand.operand is None:
                aggregates.append("count(*)")
            else:
                aggregates.append(f"{operand.function}(x{len(measured)})")
                measured.append(self.conditions().number(operand.operand))
            return f"a{len(aggregates) - 1}"
        if isinstance(operand, Negative):
            return f"(-{self._scalar(operand.operand, measured, aggregates)})"
        if isinstance(operand, Arithmetic):
            left = self._scalar(operand.left, measured, aggregates)
            right = self._scalar(operand.right, measured, aggregates)
            return f"({left} {operand.op} {f'nullif({right}, 0)' if operand.op in '/%' else right})"
        assert isinstance(operand, Literal)  # noqa: S101 - the grammar has nothing else here
        return f"{self.values.bind(operand.value)}::DOUBLE"
