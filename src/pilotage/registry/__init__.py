"""The manager's logic: which scheduler clusters exist, which of their members live, and which suit a host best.

In: rows, requests and the time, as values. Out: rankings with their reasons, decisions about liveness, and errors
that name a field. This room never opens a socket or a file, never reads a clock, and never draws a random number.
"""
