"""The one error of bad input: which field, and what is wrong with it."""


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
