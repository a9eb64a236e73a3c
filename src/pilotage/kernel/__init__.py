"""Pure arithmetic of decisions: columns of a cluster in; masks, scores, a choice and its reasons out.

A plugin sees rows of nodes as arrays and answers for all of them at once; a policy names the plugins. Everything
here is a function of its arguments, exact in int64 (or IEEE basic operations), so equal input gives equal bytes on
any machine. This room never performs I/O, reads a clock, draws global randomness or remembers a decision.
"""
