"""Speaks to task instances over HTTP, in both dialects that they have.

In: addresses and tasks. Out: acknowledgements, states, results. The wire forms stay here; a failure of the other side
is an answer, never an exception that somebody has to expect.
"""
