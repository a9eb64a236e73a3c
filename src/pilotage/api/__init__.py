"""Translates requests of the outside into commands, and answers back into its wire forms.

In: HTTP requests and gRPC calls. Out: calls of a service that was handed in, and responses. Nothing is
decided or stored here, and no adapter is known.
"""
