"""One file per change of tables, named FACE_NUMBER_what; the first of a face labels its branch.

In: the operations of Alembic. Out: tables. A file names its tables in full and imports nothing of the package, so that
it does the same for ever.
"""
