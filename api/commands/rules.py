"""`tracelake rules`: alert rules from a file, and how they stand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import rich_click as click

from lake.control import FIRST_PROJECT, Control
from lake.control.nodes import Place
from lake.errors import ControlError
from scheduler.alerts.outbox import enqueue
from scheduler.alerts.rule_files import Change, plan, read_rules
from scheduler.alerts.store import AlertStore

from ..alert_answers import rule_fields
from .options import control_options, json_option, moment, open_control, print_json, print_table

_project = click.option("--project", default=FIRST_PROJECT, show_default=True, help="Project whose rules they are.")
_sandbox = click.option("--sandbox", is_flag=True, help="The rules of its sandbox instead of those of its live lake.")


@click.group()
def rules() -> None:
    """Apply alert rules from a file, and list them."""


@rules.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_project
@_sandbox
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@control_options
@json_option
def apply(
    file: Path, project: str, data: Path, control_url: str | None, *, sandbox: bool, dry_run: bool, as_json: bool
) -> None:
    """Make the rules of a project those of a TOML FILE, by name (docs/alerts.md).

    Rules that an earlier version of the file had are deleted; those that people made over HTTP stay.
    """
    wanted = read_rules(file)
    with open_control(data, control_url) as control:
        place = _place(control, project, sandbox=sandbox)
        store = AlertStore(control.engine, enqueue)
        changes = plan(wanted, store.rules(place)) if dry_run else store.apply(place, wanted)
    if as_json:
        print_json([{"action": one.action, "name": one.name, "fields": list(one.fields)} for one in changes])
    else:
        print_table(["ACTION", "RULE", "CHANGES"], [_row(one) for one in changes])


@rules.command("list")
@_project
@_sandbox
@control_options
@json_option
def list_(project: str, data: Path, control_url: str | None, *, sandbox: bool, as_json: bool) -> None:
    """List the rules of a project and how they stand."""
    with open_control(data, control_url) as control:
        place = _place(control, project, sandbox=sandbox)
        store = AlertStore(control.engine, enqueue)
        alerts = store.alerts(place)
        found = [(rule, rule_fields(rule, alerts.get(rule.id, {}))) for rule in store.rules(place)]
    if as_json:
        print_json([shown for _, shown in found], default=msgspec.to_builtins)
    else:
        rows = [
            [one.id, shown.name, shown.severity, shown.state if shown.enabled else "off", shown.origin,
             moment(one.last_evaluated_at), moment(one.last_triggered_at)]
            for one, shown in found
        ]  # fmt: skip
        print_table(["ID", "RULE", "SEVERITY", "STATE", "ORIGIN", "EVALUATED", "TRIGGERED"], rows)


def _place(control: Control, project: str, *, sandbox: bool) -> Place:
    """
    Raises:
        ControlError: there is no such project.
    """
    if project not in {known.name for known in control.list_projects()}:
        raise ControlError(f"project: there is no {project!r}; `tracelake projects list` shows them")
    return Place(project, "sandbox" if sandbox else "live")


def _row(change: Change) -> list[str]:
    return [change.action, change.name, ", ".join(change.fields)]
