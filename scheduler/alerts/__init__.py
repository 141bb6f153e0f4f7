"""Alerts: rules about services, judged on a timer, and the messages that follow.

Takes   rules that people wrote, and the lakes of a data folder.
Gives   for each rule and each series it watches a state, the events of its changes, and messages for its channels.
Refuses rules that cannot be judged, naming the field.

    rules, metrics, durations   what people write, checked
    windows                     which times are due
    readings                    what the windows say, each read once: minute_counts, error_counts, query_values
    states                      the state machine
    judgement, messages         what follows for a rule: states, history, who has to be told what
    records, store              all of it in the control database
    evidence, sweep             what to look at; the sweep that puts it together
    backtest                    what a rule would have said
    rule_files                  rules in a TOML file
    notifications               the seam to those who send: outbox, delivery, deliverer, channels, targets
"""
