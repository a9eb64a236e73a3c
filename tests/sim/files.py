"""Small trace files for tests."""

import gzip
from pathlib import Path

OPENB_PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
OPENB_NODES = "sn,cpu_milli,memory_mib,gpu,model\n"
TASKS = "id,cpu_milli,arrival_s,duration_s,memory_mib,gpus,gpu_milli,gpu_models,priority,node_selector\n"
NODES = "name,cpu_milli,memory_mib,gpus,gpu_model,max_tasks,labels,taints\n"


def write(folder: Path, name: str, text: str | bytes) -> str:
    """Write a file (compressed if its name ends in .gz) and return its path as text."""
    data = text.encode() if isinstance(text, str) else text
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)
