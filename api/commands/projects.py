"""`tracelake projects`: tenants, each with a folder, a live and a sandbox lake, and keys of its own."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from lake.control import Project

from .options import control_options, json_option, moment, open_control, print_json, print_table


@click.group()
def projects() -> None:
    """Make, list and delete projects."""


@projects.command()
@click.argument("name")
@control_options
@json_option
def create(name: str, data: Path, control_url: str | None, *, as_json: bool) -> None:
    """Make the project NAME: 1 to 63 lowercase letters, digits and dashes."""
    with open_control(data, control_url, create=True) as control:
        project = control.create_project(name)
    if as_json:
        print_json(_described(project))


@projects.command("list")
@control_options
@json_option
def list_(data: Path, control_url: str | None, *, as_json: bool) -> None:
    """List the projects."""
    with open_control(data, control_url) as control:
        found = control.list_projects()
    if as_json:
        print_json([_described(project) for project in found])
    else:
        print_table(["PROJECT", "CREATED"], [[project.name, moment(project.created_at)] for project in found])


@projects.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Really do it: clients with its keys lose their access at once.")
@control_options
@json_option
def delete(name: str, data: Path, control_url: str | None, *, force: bool, as_json: bool) -> None:
    """Delete the project NAME and its keys; its folder is moved away, not removed."""
    with open_control(data, control_url) as control:
        moved = control.delete_project(name, force=force)
    if as_json:
        print_json({"name": name, "moved_to": None if moved is None else str(moved)})
    elif moved is not None:
        click.echo(moved)


def _described(project: Project) -> dict[str, object]:
    return {"name": project.name, "created_at": project.created_at}
