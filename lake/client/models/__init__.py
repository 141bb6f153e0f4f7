"""Models: what the server answers with, and what it is sent, as typed values.

Takes   JSON.
Gives   frozen structs with the names of the reference; times are aware datetimes. Fields that they do not have are ignored,
        so that a newer server can be asked.
Refuses JSON of another shape (`BadAnswer`, raised by `lake.client.call`).
"""
