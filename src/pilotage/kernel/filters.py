"""The filters, by name, for use in a policy: ``filters=[*filters.DEFAULT]``."""

from pilotage.kernel.plugin import Filter
from pilotage.kernel.plugins.affinity import NodeAffinity
from pilotage.kernel.plugins.capacity import Capacity
from pilotage.kernel.plugins.cordon import Cordon
from pilotage.kernel.plugins.dedicated import Dedicated
from pilotage.kernel.plugins.gpu_fit import GpuFit
from pilotage.kernel.plugins.group import GroupRule
from pilotage.kernel.plugins.node_name import NodeName
from pilotage.kernel.plugins.pool import Pool
from pilotage.kernel.plugins.ports import Ports
from pilotage.kernel.plugins.spread import SpreadWithin
from pilotage.kernel.plugins.taints import TaintsTolerated
from pilotage.kernel.plugins.task_company import RequiredCompany
from pilotage.kernel.plugins.traits import Traits

cordon = Cordon()
node_name = NodeName()
taints = TaintsTolerated()
node_affinity = NodeAffinity()
ports = Ports()
capacity = Capacity()
gpu_fit = GpuFit()
pool = Pool()
dedicated = Dedicated()
dedicated_loosely = Dedicated(strict=False)
traits = Traits()
group_rule = GroupRule()
spread = SpreadWithin()
company = RequiredCompany()

DEFAULT: tuple[Filter, ...] = (cordon, node_name, taints, node_affinity, ports, capacity, gpu_fit)
"""All that look at single nodes, in the order of kube-scheduler's default profile, GPUs last."""

DOMAIN: tuple[Filter, ...] = (spread, company)
"""Those that look at tasks on other nodes; a policy without them takes no notice of spread and company."""

VMS: tuple[Filter, ...] = (cordon, pool, dedicated, traits, capacity, group_rule)
"""For VMs on bare-metal hosts, in the order in which a refusal is told."""
