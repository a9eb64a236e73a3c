"""VM claims in SQL: the truth about hosts, tasks and claims, and what is still to be told to whom.

In: decided requests as values, inside the writer's transaction. Out: what was committed, what was refused with the
host's current row, and what others committed meanwhile. Nothing here decides where a VM goes; nothing here lets a
host be given away beyond what it has.
"""
