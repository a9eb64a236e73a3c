"""The face ``vms``: workers that place VMs on hosts, and what serves and tells the requesters.

In: settings, a queue, a database. Out: claims, results, messages to receivers. This room wires the parts together and
never decides where a VM goes, never writes SQL and never speaks a protocol itself.
"""
