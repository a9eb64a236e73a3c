"""Webhooks: messages to receivers over HTTP, signed, and only to where they may go.

In: a URL, a body, a secret. Out: what the receiver answered, or why nothing was sent. This room follows no redirect,
reaches no private address that was not named, logs no body, and never decides whether to try again.
"""
