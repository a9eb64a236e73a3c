"""What exists: amounts, nodes, tasks, events, effects and decisions, as frozen structs.

In: plain values from the outside, checked here once. Out: hashable values that every other room trusts. This room
never computes a placement, never imports numpy and never touches the outside world.
"""
