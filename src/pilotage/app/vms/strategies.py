"""Which strategy each pool has: from a text, from a watched file, switched while workers run."""

from pathlib import Path

from pilotage.app.policy_files import load_policy
from pilotage.kernel import filters
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput


class Strategies:
    """From a pool to its policy. The text is ``hybrid`` or ``hybrid,gpu=spread,big=./mine.py``.

    Raises `InvalidInput` naming what can not be read; a text that can not be read changes nothing.
    """

    def __init__(self, text: str, *, file: str = "", strict_dedicated: bool = True) -> None:
        self._file = Path(file) if file else None
        self._strict = strict_dedicated
        self._default_text = text
        self.text = ""
        self._policies: dict[str, Policy] = {}
        self.look()

    def __call__(self, pool: str) -> Policy:
        """The policy of a pool: its own, or the one for all others."""
        return self._policies.get(pool) or self._policies[""]

    def look(self) -> bool:
        """Read the file again, if there is one; return whether the strategies are others than before."""
        text = self._default_text
        if self._file is not None:
            try:
                text = _told(self._file.read_text(encoding="utf-8")) or text
            except FileNotFoundError:
                pass
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidInput("strategy_file", f"{self._file} can not be read: {error}") from None
        if text == self.text:
            return False
        self._policies = self._read(text)
        self.text = text
        return True

    def _read(self, text: str) -> dict[str, Policy]:
        policies: dict[str, Policy] = {}
        for part in (part.strip() for part in text.replace("\n", ",").split(",")):
            pool, equals, name = part.rpartition("=")
            if not part:
                continue
            if (equals and not pool) or not name or pool.strip() in policies:
                raise InvalidInput("strategy", f"{text!r}: write NAME for all pools and POOL=NAME for one, each once")
            policies[pool.strip()] = self._of(load_policy(name.strip()))
        if "" not in policies:
            raise InvalidInput("strategy", f"{text!r} names none for all other pools: write NAME,POOL=NAME")
        return policies

    def _of(self, policy: Policy) -> Policy:
        """The policy with the filters that every VM needs, and dedicated hosts as they are meant here."""
        dedicated = filters.dedicated if self._strict else filters.dedicated_loosely
        needed = [dedicated if each is filters.dedicated else each for each in filters.VMS]
        own = [each for each in policy.filters if type(each) not in {type(one) for one in needed}]
        return Policy(
            filters=[*needed, *own],
            scorers=policy.scorers,
            tie=policy.tie,
            order=policy.order,
            devices=policy.devices,
            name=policy.name,
        )


def _told(text: str) -> str:
    """The strategy that a file tells: its text, or what it says SCHEDULING_STRATEGY is, as a file of an environment."""
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip() == "SCHEDULING_STRATEGY":
            return value.strip().strip("\"'")
    return text.strip()
