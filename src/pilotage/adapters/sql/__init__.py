"""State that survives a crash: SQLite embedded, PostgreSQL by URL, one code path for both.

In: works (functions of a connection) for the one writer thread, which commits them in groups. Out: futures that are
done when the commit is. Every write is fenced by the epoch of a lease where there is one; nothing here decides.
"""
