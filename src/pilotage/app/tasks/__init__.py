"""The task queue composed: strategies by name, leadership, the server, the reference instance, the demonstration.

In: settings. Out: a running service, or a reason why there is none. Each part is built here and nowhere else; what it
does is written in its own room.
"""
