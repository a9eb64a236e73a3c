"""The only rooms with sockets, files and databases: each folder speaks to one kind of outside system.

In: calls of the ports that lower rooms name. Out: rows, messages and requests in the other side's own form, which
stays hidden here. Adapters never import each other and never decide anything.
"""
