"""bench: what Tracelake costs, measured the way its rivals were (docs/benchmarks.md).

    bodies      OTLP requests that look like a shop, with the truth that any store must answer
    processes   CPU, memory and idleness of a process tree, from /proc
    load        sends the bodies over some connections
    ingest      one run: server, load, wait until idle, size on disk
    queries     how long the questions take afterwards

    impact      false alarms and power of deploy reports: `python -m bench.impact`
    nezha       services behind injected faults, found in real traces: `python -m bench.nezha FOLDER`

`python -m bench` runs all of the first ones and prints a table; it needs Linux.
"""
