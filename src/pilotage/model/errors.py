"""Errors that cross rooms: bad input (which field, and what is wrong with it), and storage that cannot be written."""


class InvalidInput(ValueError):  # noqa: N818 - reads as a statement at the place that raises it
    """A value from outside that can not be used; nothing was changed by the call that raised it.

    ``field`` names the offending field (``demand.cpu``, ``task_id``), ``reason`` says what is wrong and, where it
    helps, what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[type["InvalidInput"], tuple[str, str]]:
        """Travel between processes by field and reason."""
        return type(self), (self.field, self.reason)


class StorageFull(RuntimeError):  # noqa: N818
    """More works wait than may wait: the caller should be told to come again later."""


class StorageDown(RuntimeError):  # noqa: N818
    """The database stayed away longer than the writer's patience; the work was not done."""


class CommitUnknown(RuntimeError):  # noqa: N818
    """The connection broke during a commit and nobody can say whether it happened."""


class LeaseLost(RuntimeError):  # noqa: N818
    """Somebody else leads now: the work was not done, and this process must write no more."""


class NotFound(LookupError):  # noqa: N818 - reads as a statement
    """Nothing is called that."""


class WrongState(RuntimeError):  # noqa: N818 - reads as a statement
    """It exists, but is not in a state in which that can be done; the message says which it is in."""
