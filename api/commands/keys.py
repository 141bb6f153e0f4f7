"""`tracelake keys`: who may send to a project, and who may ask it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from lake.control import FIRST_PROJECT, Key
from lake.control.keys import KINDS, RATE_LIMIT_MAX, SCOPES

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
@click.option("--name", help="What people call it, for lists.")
@click.option(
    "--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="What it may do, if less than its kind can."
)
@click.option("--rate-limit", type=click.IntRange(1, RATE_LIMIT_MAX), help="Requests a minute, if not the server's default.")
@control_options
@json_option
def create(  # noqa: PLR0913 - one for each option
    project: str,
    kind: str,
    data: Path,
    control_url: str | None,
    *,
    chosen: str | None,
    name: str | None,
    scopes: tuple[str, ...],
    rate_limit: int | None,
    as_json: bool,
) -> None:
    """Make a key and print it: once, because only its hash is kept.

    In a data folder without any project the project `default` is made first, as `serve` does.
    """
    with open_control(data, control_url, create=True) as control:
        if project == FIRST_PROJECT:
            control.create_first_project()
        new = control.create_key(project, kind, key=chosen, name=name, scopes=scopes or None, rate_limit=rate_limit)
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
        rows = [
            [k.id, k.project, k.kind, k.name or "", moment(k.created_at), moment(k.last_used_at), moment(k.revoked_at)]
            for k in found
        ]
        print_table(["ID", "PROJECT", "KIND", "NAME", "CREATED", "LAST USED", "REVOKED"], rows)


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
        "name": key.name,
        "project": key.project,
        "kind": key.kind,
        "environment": key.environment,
        "scopes": sorted(key.scopes),
        "rate_limit": key.rate_limit,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }
