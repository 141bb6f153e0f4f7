"""channels: how a notification is said on Slack, by e-mail, to PagerDuty and to a webhook.

Takes   notifications, and the channel that a rule names.
Gives   the request that says them; pure functions, one module for each kind of channel.
Refuses what a channel cannot be told to (`ChannelUnusable`), and channels that are none (`InvalidParameter`).

    channel     what a rule says of a channel, and what is shown of it
    settings    what the operator says of all channels
    wording     what every message says
    slack, email, pagerduty, webhook   one each
    outcome     what an answer means: delivered, again later, or never
    senders     a message on its way
"""
