"""The command `tracelake`.

Takes   a command line.
Gives   what the command asks for on stdout, and nothing else there; exit code 0.
Refuses what Tracelake refuses: on stderr what is wrong and what to do, exit code 1. 2 is a wrong command line.

Each command is a module in `api.commands` that is imported when the command is used: `tracelake keys list` has no use for
DuckDB, and the list of commands none for any of them.
"""

from __future__ import annotations

import errno
from importlib import import_module

import rich_click as click

from lake.errors import LakeError

COMMANDS = {
    "serve": "Serve ingest, queries and notebooks until Ctrl-C.",
    "demo": "Serve a shop with nine days of history and live traffic, and JupyterLab, until Ctrl-C.",
    "keys": "Make, list and revoke keys.",
    "projects": "Make, list and delete projects.",
    "rules": "Apply alert rules from a file, and list them.",
    "sql": "Run a SELECT over spans, errors, exceptions, deploys, requests and batches.",
    "search": "Find traces with TQ, the search language.",
    "compact": "Absorb the landing, rewrite the hours that are over, and delete what nobody needs.",
    "status": "How everything is: processes, lakes, jobs and messages about alerts.",
    "doctor": "Compare log with files and landing with watermarks, and verify every file.",
    "promote": "Give the attribute KEY a column of the table spans, so that filters on it are fast.",
    "notebooks": "Copy the bundled notebooks into FOLDER and print what is new there; what you have already stays as it is.",
}
"""The commands and what `tracelake --help` says of them; `api.commands.<name>` has an object of that name."""


class _Commands(click.RichGroup):
    """The group: loads the one command that is used; an error raised on purpose is a message and not a traceback."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in COMMANDS:
            self.add_command(loaded(args[0]))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (LakeError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read stdout has gone (`| head`): click ends without a word
            click.echo(f"Error: {error}", err=True)  # not in a box, which would break paths into pieces
            ctx.exit(1)


def loaded(name: str) -> click.Command:
    """The command of a name in `COMMANDS`."""
    command: click.Command = getattr(import_module(f"api.commands.{name}"), name)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tracelake", message="%(version)s")
def main() -> None:
    """Tracelake: traces, errors and deploys as open tables, by REST, SQL and notebook."""


for name, summary in COMMANDS.items():
    main.add_command(click.RichCommand(name=name, short_help=summary))  # stands for the command until it is used
