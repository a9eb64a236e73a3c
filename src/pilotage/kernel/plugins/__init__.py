"""Filters, scorers and device rules, one idea a file.

In: a fragment of a task and a view of rows. Out: one answer per row, the same for arrays and for single rows. A
plugin never imports another, never keeps state between calls and never looks beyond what it declares to read.
"""
