"""The command line: thin commands that call the application.

In: arguments. Out: tables, JSON and exit codes (0 done, 1 checks failed, 2 bad input, 130 interrupted). A command
never computes anything itself, and imports what is heavy only when it runs.
"""
