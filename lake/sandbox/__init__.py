"""sandbox: SQL of strangers, in a process that can do nothing but answer it.

    positions, messages      where something is wrong; frames between processes
    landlock                 what the kernel keeps from a process
    check                    whether a query is one SELECT over the views, by DuckDB's own syntax tree
    answers                  rows -> JSON, CSV, Arrow, Parquet
    child                    one query: give everything up, open DuckDB over the files of one snapshot, answer, end
    zygote                   forks children; started by `parent` at the first query
    parent                   `Sandbox`: what the server calls; ends children that take too long

Nothing is imported here: the zygote shall hold DuckDB, Arrow, and no more of the lake than it needs.
"""
