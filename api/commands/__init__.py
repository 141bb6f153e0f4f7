"""commands: one module for each command of `tracelake`; `api.cli` puts them together."""
