"""The global task queue as a pure state machine: tasks, instances, strategies.

In: what happened (submitted, acknowledged, refused, completed, an instance changed) with its time. Out: what must be
sent where, and the tasks whose state changed. It never talks to an instance, reads a clock or stores anything.
"""
