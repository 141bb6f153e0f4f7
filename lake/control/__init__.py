"""control: projects and the keys that open them, kept in one small database beside the lakes.

Takes   the data folder, or any SQLAlchemy URL.
Gives   `Control`: create, list and end projects and keys; `Control.authenticate(key)` for each request.
Refuses malformed, unknown and taken names: `ControlError`.

Nothing of it is needed to read a lake: who loses the database makes new keys.

    keys        the families of keys, their grammar and hash; pure
    database    tables and connections
    alert_tables
                tables of alert rules and what happened to them
    delivery_tables
                table of messages about alerts
    decisions   what people decided about groups of errors
    job_runs    what the scheduler's jobs did, `Control.jobs`
    nodes       collector nodes and their traffic, `Control.nodes`
    process     which node this process is
    control     `Control`
"""

from .control import FIRST_PROJECT, Control
from .keys import Environment, Key, Kind, NewKey, Principal, Project, Scope

__all__ = ["FIRST_PROJECT", "Control", "Environment", "Key", "Kind", "NewKey", "Principal", "Project", "Scope"]
