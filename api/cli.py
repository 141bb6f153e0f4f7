"""The command `tracelake`.

Takes   a command line.
Gives   what the command asks for on stdout, and nothing else there; exit code 0.
Refuses what Tracelake refuses: one line on stderr that says what to do, exit code 1. 2 is a wrong command line.

Each command is a module in `api.commands` and is added to the group here.
"""

from __future__ import annotations

import rich_click as click

from lake.errors import LakeError

from .commands.keys import keys
from .commands.projects import projects


class _Commands(click.RichGroup):
    """The group; an error that Tracelake raises on purpose is a message and not a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (LakeError, OSError) as error:
            click.echo(f"Error: {error}", err=True)  # not in a box, which would break paths into pieces
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracelake", message="%(version)s")
def main() -> None:
    """Tracelake: traces, errors and deploys as open tables, by REST, SQL and notebook."""


for command in (keys, projects):
    main.add_command(command)
