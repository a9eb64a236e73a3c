"""Requests of a trace routed to simulated model instances, by the strategies that `pilotage serve` runs.

In: a request trace, a pool of instances, a load, a policy, a fault, a seed. Out: how long requests took from arrival to
completion. Nothing here decides: strategies do, on a virtual clock.
"""
