"""The application: what a command does, composed from the rooms below.

In: plain arguments (a policy's name or file, a trace, seeds) and settings. Out: results as values that a command prints
or writes. This room never parses a command line, never prints, and never decides where a task goes.
"""
