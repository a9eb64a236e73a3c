"""The decider `plan` of inference tasks: a queue, instances of different speed, run times known as distributions.

In: waiting tasks in order, the slots of the instances, predicted run times as arrays. Out: which task starts on which
slot now; everything else stays unbound. It never talks to an instance, reads a clock or draws a random number.
"""
