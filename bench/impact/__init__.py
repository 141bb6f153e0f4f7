"""bench.impact: how often the deploy report cries wolf, and what it finds, on simulated requests (docs/impact.md).

    world      simulated requests
    methods    ours and naive ones
    scenarios  what is simulated

`python -m bench.impact` prints the tables.
"""
