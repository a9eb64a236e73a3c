"""The simulator: a trace, a policy and a seed in, one measured run out.

In: trace files and a policy. Out: typed results of a run on a virtual clock that drives the real engine. This room
never decides where a task goes, and nothing in it depends on the real time but the measured CPU seconds.
"""
