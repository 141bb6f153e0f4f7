"""bench: what Tracelake costs, measured the way its rivals were (docs/benchmarks.md).

    bodies      OTLP requests that look like a shop, with the truth that any store must answer
    processes   CPU, memory and idleness of a process tree, from /proc
    load        sends the bodies over some connections
    ingest      one run: server, load, wait until idle, size on disk
    queries     how long the questions take afterwards

`python -m bench` runs all and prints a table; it needs Linux.
"""
