"""The manager over gRPC, in both wire forms (``manager.Manager`` and ``manager.v2.Manager``).

In: messages of hosts, schedulers and seed peers, checked field by field. Out: answers as bytes that were encoded when
the registry changed, not when somebody asked. Nothing here knows where rows are stored.
"""
