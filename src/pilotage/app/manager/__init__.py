"""The manager's process: its registry follows a store, its members are watched, gRPC and HTTP answer from memory.

In: settings, a store, calls of the faces. Out: rows written, and answers. What is decided is decided in
`pilotage.registry`; this room waits, retries and keeps time.
"""
