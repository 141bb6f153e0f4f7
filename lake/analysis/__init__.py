"""analysis: did this deploy make it worse, where, and how sure are we.

Pure functions over frames and arrays; nothing here reads a lake. docs/impact.md tells the method as a whole.

    sequential, windows          which minutes are compared, and when one may look
    quantiles, effects, compare  arrays of counts -> tests, any number at once
    verdicts                     what a test means
    facts, counts, controls      frames -> arrays
    endpoint_report, error_changes, report_table, impact   the report
    critical_path, decomposition  spans -> which calls made an endpoint slower
    suspects                     spans -> which service is behind it
    contrast                     attributes of spans -> what the slow ones have more often
    change_points                a series -> when it began, and the deploys near by
"""
