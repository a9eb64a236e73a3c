"""Alembic's environment: `env` runs on a connection that `pilotage.adapters.sql.migrate` opened.

In: the connection's database as some version left it. Out: tables as this version reads them. Nothing here is run in
any other way, and a version file that was released never changes.
"""
