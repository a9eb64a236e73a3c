"""What can go wrong besides bad input, in words that every face can translate."""


class Missing(LookupError):  # noqa: N818 - reads as a statement at the place that raises it
    """What was asked for is not there."""


class Taken(Exception):  # noqa: N818
    """Another row has this name or place already, or rows in use forbid the change."""


class StoreAway(Exception):  # noqa: N818
    """The database can not be reached now; nothing was changed, and the same call may work later."""
