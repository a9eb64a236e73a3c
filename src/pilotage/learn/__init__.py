"""Run times before they happen: predictors that know a table, that were told, or that remember.

In: a model's name, what the submitter said of the task, the platform of an instance, and run times as they end. Out:
a distribution in seconds, or None. No I/O: files are read elsewhere and handed in as bytes; nothing here decides.
"""
