"""Kubernetes: its objects and its scheduler's configuration, in; tasks, nodes, policies and its own texts, out.

Objects are read with the fields that scheduling uses and no others. This room decides nothing: it translates, and
says what a thing is called there.
"""
