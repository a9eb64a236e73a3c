"""The pure state machine around the kernel: events in, decisions and effects out.

In: events, the time and a budget. Out: effects (bind, reject, displaced), each with the record of its decision. The
engine owns columns, change log, caches and the waiting room; it never performs I/O, reads a clock or owns a thread,
so the simulator and production drive the same code.
"""
