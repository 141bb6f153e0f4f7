"""The demo: a lifelike shop that sends traces, errors and deploys, like any other client.

`model` says what a shop is made of, and `shop` is this shop: its services, endpoints and deploys, in one place to read
and change. `story` puts it into time, `simulation` plays requests through it, thousands at once. From there `otlp` makes
requests for `history` to send in bulk, and `live` replays single ones through the OpenTelemetry SDK; so what was and what
is look alike. `state` remembers in the data folder what was sent already, `check` asks whether everything answers.

The shop is a client: nothing here reads or writes a lake but through the ordinary ways.
"""
