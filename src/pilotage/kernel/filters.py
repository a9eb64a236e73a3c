"""The filters, by name, for use in a policy: ``filters=[*filters.DEFAULT]``."""

from pilotage.kernel.plugin import Filter
from pilotage.kernel.plugins.affinity import NodeAffinity
from pilotage.kernel.plugins.capacity import Capacity
from pilotage.kernel.plugins.cordon import Cordon
from pilotage.kernel.plugins.gpu_fit import GpuFit
from pilotage.kernel.plugins.node_name import NodeName
from pilotage.kernel.plugins.ports import Ports
from pilotage.kernel.plugins.taints import TaintsTolerated

cordon = Cordon()
node_name = NodeName()
taints = TaintsTolerated()
node_affinity = NodeAffinity()
ports = Ports()
capacity = Capacity()
gpu_fit = GpuFit()

DEFAULT: tuple[Filter, ...] = (cordon, node_name, taints, node_affinity, ports, capacity, gpu_fit)
"""All of them, in the order of kube-scheduler's default profile, GPUs last."""
