"""`tracelake keys`: who may send to a project, and who may ask it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from lake.control import FIRST_PROJECT, Key
from lake.control.keys import KINDS

from .options import control_options, json_option, moment, open_control, print_json, print_table


@click.group()
def keys() -> None:
    """Make, list and revoke keys."""


@keys.command()
@click.option("--project", default=FIRST_PROJECT, show_default=True, help="Project that the key belongs to.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    required=True,
    help="ingest: may only send (proj_). live: may all (mtk_live_). test: may all in the sandbox lake (mtk_test_).",
)
@click.option("--key", "chosen", help="A key of your own choice instead of a random one; its prefix must fit the kind.")
@control_options
@json_option
def create(project: str, kind: str, chosen: str | None, data: Path, control_url: str | None, *, as_json: bool) -> None:
    """Make a key and print it: once, because only its hash is kept.

    In a data folder without any project the project `default` is made first, as `serve` does.
    """
    with open_control(data, control_url, create=True) as control:
        if project == FIRST_PROJECT:
            control.create_first_project()
        new = control.create_key(project, kind, key=chosen)
    if as_json:
        print_json({"key": new.secret} | _described(new.key))
    else:
        click.echo(new.secret)


@keys.command("list")
@click.option("--project", help="Only the keys of this project.")
@control_options
@json_option
def list_(project: str | None, data: Path, control_url: str | None, *, as_json: bool) -> None:
    """List the keys by their ids, the revoked ones too."""
    with open_control(data, control_url) as control:
        found = control.list_keys(project)
    if as_json:
        print_json([_described(key) for key in found])
    else:
        rows = [[k.id, k.project, k.kind, moment(k.created_at), moment(k.last_used_at), moment(k.revoked_at)] for k in found]
        print_table(["ID", "PROJECT", "KIND", "CREATED", "LAST USED", "REVOKED"], rows)


@keys.command()
@click.argument("key")
@control_options
@json_option
def revoke(key: str, data: Path, control_url: str | None, *, as_json: bool) -> None:
    """Revoke a key by its id (or by itself); servers refuse it within a second."""
    with open_control(data, control_url) as control:
        revoked = control.revoke_key(key)
    if as_json:
        print_json(_described(revoked))


def _described(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "project": key.project,
        "kind": key.kind,
        "environment": key.environment,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }
