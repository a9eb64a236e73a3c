"""What can go wrong besides bad input, in words that every face can translate."""

from pilotage.model.errors import InvalidInput


class Missing(LookupError):  # noqa: N818 - reads as a statement at the place that raises it
    """What was asked for is not there."""


class Taken(Exception):  # noqa: N818
    """Another row has this name or place already, or rows in use forbid the change."""


class NothingListed(Missing):
    """The list that was asked for is empty, which this call reports as an error."""


class Undecided(InvalidInput):
    """A request that must be one of several kinds is none of them."""
