"""scheduler: what happens on a timer, in a process of its own so that ingest never waits for it.

Takes   a data folder and the time.
Gives   compaction, the rewrite of closed hours and retention of every lake in it.
Refuses nothing: a job that fails is logged and runs again at its next time.
"""
