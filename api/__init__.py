"""api: the faces that Tracelake shows to the outside, HTTP and the command `tracelake`.

Takes   requests of clients and command lines.
Gives   answers from `lake`; starts the scheduler and the notebooks as processes of their own.
Refuses what `lake` refuses, as an HTTP status or an exit code.
"""
