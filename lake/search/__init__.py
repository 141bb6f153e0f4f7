"""search: TQ, the one search language of Tracelake: for search, metrics and the conditions of alerts.

Takes   the text of a query, and the spans of a snapshot.
Gives   `parse` and the tree it makes; the traces and series that a query means; the SQL of it, with every value bound.
Refuses texts that are no query: `InvalidQuery`, with position and expectation.

    tree, printer          what a query is, and its canonical text
    fields                 names, and the columns they stand in
    grammar.lark, builder, checks, parser
                           text -> tree
    conditions             conditions on a span -> SQL
    spansets               sets of spans and pipelines -> SQL
    candidates, run        which traces can be meant, which ones are
    metrics, totals        numbers over time; what many queries say of one window
    explain                what a search ran and read
"""

from .parser import InvalidQuery, metrics_query, parse, search_query
from .tree import Query

__all__ = ["InvalidQuery", "Query", "metrics_query", "parse", "search_query"]
