"""The device rules, by name, for use in a policy: ``devices=devices.random``."""

from pilotage.kernel.plugins.devices import RandomGpus, Tightest
from pilotage.kernel.plugins.fgd import FragmentationDevices
from pilotage.kernel.plugins.worth_and_stranding import LeastWorth

tightest = Tightest()
"""The GPUs with the least share left that still fit: what a policy does if nothing else is said."""

random = RandomGpus()
"""Any GPUs that fit, uniformly, keyed by the seed."""

fgd = FragmentationDevices()
"""The GPU where the task adds the least fragmentation; goes with ``scorers.fgd()``."""

least_worth = LeastWorth()
"""The GPU whose remainder loses the least worth; goes with ``scorers.worth_and_stranding()``."""
