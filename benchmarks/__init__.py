"""One file per question. Each measures beside a peer or a limit in the same run, and reports ratios.

In: nothing but the installed package. Out: a table on the screen and JSON in ``benchmarks/results``. A benchmark never
asserts a time; it prints its bar beside what it saw.
"""
