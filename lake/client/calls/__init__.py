"""Calls: every call of the API, described once: what is sent, and how the answer is read.

Takes   the arguments of a call.
Gives   a `Call`; `lake.client.client` makes methods of them.
Refuses arguments that no server could take (`InvalidParameter`).
"""
