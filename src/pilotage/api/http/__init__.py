"""HTTP: the server, the gate in front of every application, and the faces' routes.

In: requests. Out: JSON, event streams, WebSocket frames. Each boundary is validated here, once, with the field named;
a handler never blocks the loop and never keeps state of its own.
"""
