"""Rule files: the rules of a lake as a TOML file that lies beside the code.

Takes   a file with `[[rule]]` tables, and the rules that the lake has.
Gives   `Change`s: what to make, change and delete so that the lake has what the file says; and that done in one transaction.
Refuses files that are none, and rules in them that cannot be judged: `InvalidParameter` names place and field
        (`rule[2].condition.window`).

Rules are told apart by their names. Deleted is only what a file made: rules that people made over HTTP stay, unless the file
has one of the same name, which it takes over.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lake.errors import InvalidParameter

from .records import StoredRule, rule_values
from .rules import Rule, rule_of

Action = Literal["create", "update", "keep", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one rule."""

    action: Action
    name: str
    rule: Rule | None
    """As the file has it, None if it has not."""
    known: StoredRule | None
    """As the lake has it, None if it has not."""
    fields: tuple[str, ...] = ()
    """What is changed."""


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file, in its order.

    Raises:
        InvalidParameter: it is no TOML, or has something in it that is no rule.
        OSError: it cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter("rule", f"{path} is no TOML: {error}") from error
    given = content.pop("rule", [])
    if content or not isinstance(given, list):
        named = ", ".join(content) or "rule"
        raise InvalidParameter("rule", f"{path} must have [[rule]] tables and nothing else, not {named}")
    rules = [_rule(place, one) for place, one in enumerate(given, 1)]
    twice = [name for name, count in Counter(rule.name for rule in rules).items() if count > 1]
    if twice:
        raise InvalidParameter("name", f"{path} has several rules of the name {twice[0]!r}: a name tells a rule apart")
    return rules


def _rule(place: int, given: object) -> Rule:
    if not isinstance(given, dict):
        raise InvalidParameter(f"rule[{place}]", f"rule[{place}] must be a table")
    try:
        return rule_of(given)
    except InvalidParameter as error:
        raise InvalidParameter(f"rule[{place}].{error.param}", f"rule[{place}].{error}") from error


def plan(rules: Sequence[Rule], known: Sequence[StoredRule]) -> list[Change]:
    """What to do so that a lake has the rules of a file.

    Raises:
        InvalidParameter: the lake has several rules of a name that the file has.
    """
    wanted = {rule.name for rule in rules}
    by_name: dict[str, StoredRule] = {}
    for one in known:
        if one.rule.name in wanted and one.rule.name in by_name:
            raise InvalidParameter("name", f"the lake has several rules of the name {one.rule.name!r}: delete all but one")
        by_name[one.rule.name] = one
    changes = [_change(rule, by_name.get(rule.name)) for rule in rules]
    gone = [one for one in known if one.origin == "file" and one.rule.name not in wanted]
    return changes + [Change("delete", one.rule.name, None, one) for one in gone]


def _change(rule: Rule, known: StoredRule | None) -> Change:
    if known is None:
        return Change("create", rule.name, rule, None)
    before, after = rule_values(known.rule), rule_values(rule)
    fields = tuple(name for name in after if after[name] != before[name])
    if known.origin != "file":
        fields = (*fields, "origin")
    return Change("update" if fields else "keep", rule.name, rule, known, fields)
