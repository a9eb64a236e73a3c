"""The table that every face shares: who leads. Each face keeps its own tables beside its statements."""

from sqlalchemy import BigInteger, Column, Float, MetaData, Table, Text

metadata = MetaData()

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("duration_s", Float, nullable=False),
)
"""``epoch`` rises with each holder, ``beat`` with each renewal, ``serial`` is the holder's last committed group."""
