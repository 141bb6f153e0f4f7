"""Alerts: rules about services, judged on a timer, and the messages that follow.

Takes   rules that people wrote, and the lakes of a data folder.
Gives   for each rule and each series it watches a state, the events of its changes, and messages for its channels.
Refuses rules that cannot be judged, naming the field.
"""
