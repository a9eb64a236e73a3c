"""Traces: files of nodes and tasks, as others publish them or as users record them.

In: the name of a bundled trace or a path. Out: a `Trace` of checked values, or one `InvalidInput` that names file,
line and column. This room never changes what a file says: orders, fills and cuts belong to the protocol.
"""
