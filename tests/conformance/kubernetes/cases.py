"""Random nodes and pods, from a seed; values are few, so that they meet, and odd where the rules have corners."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.conformance.kubernetes import company_cases as company

Object = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
GPU = "nvidia.com/gpu"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
IMAGES = {"busybox": 4 * 2**20, "reg.io:5000/app": 250 * 2**20, "reg.io/model:v2": 3 * 2**30, "big": 900 * 2**20}
CPUS = ("100m", "250m", "0.3", "1", "1500m", "2", "3.999", "0", "1u", "100500u")
MEMORIES = ("64Mi", "200Mi", "1Gi", "1.5Gi", "1e9", "512M", "0", "129e6", "1000m", "3")


class Cases:
    """Draws objects; ``focus`` names the plugin whose corners are visited most."""

    def __init__(self, seed: int, focus: str) -> None:
        self.random = Random(f"{focus}-{seed}")
        self.focus = focus
        self.made = 0
        self.images = True
        """Whether images lie on nodes."""

    def some(self, likely: float, *focuses: str) -> bool:
        """True with a probability: ``likely`` where the focus is one of those named, else seldom."""
        return self.random.random() < (likely if self.focus in (*focuses, "mixed") else 0.08)

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def few(self, values: Any, most: int) -> list[Any]:
        return self.random.sample(list(values), self.random.randint(0, min(most, len(values))))

    # -- nodes -----------------------------------------------------------------------------------------------------

    def node(self, i: int) -> Object:
        r = self.random
        allocatable: Object = {
            "cpu": self.pick("4", "2500m", "8", "16", "0.5"),
            "memory": self.pick("8Gi", "4Gi", "16G", "1Gi"),
        }
        if not self.some(0.1, "fit"):
            allocatable["pods"] = self.pick("110", "3", "4") if self.some(0.5, "fit") else "110"
        if self.some(0.5, "fit", "balanced"):
            allocatable["ephemeral-storage"] = self.pick("10Gi", "1Gi", "500M")
        if self.some(0.5, "fit", "balanced"):
            allocatable[GPU] = self.pick(1, "4", "8")
        if self.some(0.2, "fit"):
            allocatable["example.com/fpga"] = self.pick("2", "3")
        if self.some(0.2, "fit"):
            allocatable["hugepages-2Mi"] = self.pick("128Mi", "64Mi")
        if self.some(0.05, "fit", "balanced"):
            del allocatable[self.pick("cpu", "memory")]
        labels: dict[str, str] = {"kubernetes.io/hostname": f"n{i}"}
        for key, values in (
            (ZONE, "abc"), (REGION, "r"), (BETA_ZONE, "bz"), ("disk", ("ssd", "hdd", "")),
            ("size", ("3", "7", "+7", "-2", "many", "9223372036854775808")),
        ):  # fmt: skip
            if r.random() < (0.6 if key in (ZONE, "disk", "size") else 0.1):
                labels[key] = r.choice(values)
        node: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"n{i}", "labels": labels},
            "spec": {},
            "status": {"allocatable": allocatable, "capacity": {**allocatable, "cpu": "64"}},
        }
        if self.some(0.6, "taints"):
            taints = [
                {"key": key, "value": value, "effect": effect}
                for key in ("team", "spot")
                for value in ("", "x")
                for effect in EFFECTS
            ]
            if taken := self.few(taints, 3):
                node["spec"]["taints"] = taken
        if self.some(0.3, "unschedulable"):
            node["spec"]["unschedulable"] = True
        if self.images and self.some(0.7, "images"):
            images = [
                {"names": [name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"], "sizeBytes": size}
                for name, size in self.few(IMAGES.items(), 3)
            ]
            for image in images:
                if r.random() < 0.3:
                    image["names"].insert(0, f"{image['names'][0]}@sha256:0")
                if r.random() < 0.2:
                    image["sizeBytes"] = int(image["sizeBytes"] * 1.5)
            node["status"]["images"] = images
        return node

    # -- pods ------------------------------------------------------------------------------------------------------

    def pod(self, name: str = "", **spec: Any) -> Object:
        r = self.random
        self.made += 1
        body: Object = {"containers": [self.container(j) for j in range(r.choice((1, 1, 1, 2, 3)))], **spec}
        if self.some(0.3, "fit", "balanced", "images"):
            body["initContainers"] = [self.container(10 + j, init=True) for j in range(r.randint(1, 2))]
        if self.some(0.15, "fit", "balanced"):
            body["overhead"] = {"cpu": self.pick("50m", "250m"), "memory": self.pick("10Mi", "120Mi")}
        if self.some(0.25, "fit", "balanced"):
            requests: Object = {}
            if r.random() < 0.7:
                requests["cpu"] = self.pick(*CPUS)
            if r.random() < 0.7:
                requests["memory"] = self.pick(*MEMORIES)
            if r.random() < 0.2:
                requests["hugepages-2Mi"] = "64Mi"
            body["resources"] = {"requests": requests}
        if self.some(0.6, "affinity"):
            self._affinity(body)
        if self.some(0.6, "taints", "unschedulable"):
            body["tolerations"] = [self.toleration() for _ in range(r.randint(1, 3))]
        if self.some(0.3, "gates"):
            body["schedulingGates"] = [{"name": each} for each in self.few(("example.com/a", "b", "c"), 3)]
        if self.some(0.5, "queue"):
            body["priority"] = r.choice((-5, 0, 1, 1000))
        if self.some(0.3, "name") and "nodeName" not in body:
            body["nodeName"] = f"n{r.randint(0, 12)}"
        if self.some(0.6, "spread"):
            body["topologySpreadConstraints"] = company.spread(r)
        if self.some(0.7, "company"):
            body.setdefault("affinity", {}).update(company.company(r, 0.3 if self.focus == "company" else 0.1))
        meta: Object = {"name": name or f"p{self.made}", "namespace": r.choice(("default", "team-a"))}
        if self.some(0.9, "spread", "company"):
            meta["labels"] = company.labels(r)
        if self.some(0.3, "spread"):
            meta["ownerReferences"] = company.owner(r)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}

    def container(self, j: int, *, init: bool = False) -> Object:
        r = self.random
        requests: Object = {}
        if r.random() < 0.7:
            requests["cpu"] = self.pick(*CPUS)
        if r.random() < 0.7:
            requests["memory"] = self.pick(*MEMORIES)
        if self.some(0.25, "fit", "balanced"):
            requests["ephemeral-storage"] = self.pick("100Mi", "1G", "0")
        if self.some(0.2, "fit", "balanced"):
            requests[GPU] = self.pick("1", 2, "0")
        if self.some(0.1, "fit"):
            requests[self.pick("example.com/fpga", "hugepages-2Mi", "kubernetes.io/odd", "unknown", "a.b/none")] = "2"
        container: Object = {"name": f"c{j}", "image": self.pick(*IMAGES, "reg.io:5000/app:latest", "nowhere:1")}
        if requests:
            container["resources"] = {"requests": requests}
        if init and r.random() < 0.5:
            container["restartPolicy"] = "Always"
        if self.some(0.7, "ports"):
            container["ports"] = [self.port() for _ in range(r.randint(1, 2))]
        return container

    def port(self) -> Object:
        port: Object = {"containerPort": 80}
        if self.random.random() < 0.8:
            port["hostPort"] = self.pick(80, 443, 8080)
        if self.random.random() < 0.5:
            port["hostIP"] = self.pick("0.0.0.0", "10.0.0.1", "10.0.0.2")
        if self.random.random() < 0.5:
            port["protocol"] = self.pick("TCP", "UDP", "SCTP")
        return port

    def toleration(self) -> Object:
        r, toleration = self.random, {}
        if r.random() < 0.7:
            toleration["key"] = self.pick("team", "spot", "node.kubernetes.io/unschedulable")
        operator = self.pick("", "Equal", "Exists", "Exists")
        if operator:
            toleration["operator"] = operator
        if operator != "Exists" and r.random() < 0.6:
            toleration["value"] = "x"
        if r.random() < 0.5:
            toleration["effect"] = self.pick(*EFFECTS)
        return toleration

    def _affinity(self, body: Object) -> None:
        r = self.random
        if r.random() < 0.3:
            body["nodeSelector"] = {self.pick(ZONE, "disk"): self.pick("a", "ssd", "b", "")}
        node: Object = {}
        if r.random() < 0.6:
            terms = [self.term() for _ in range(r.randint(0, 2))]
            node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
        if r.random() < 0.6:
            node["preferredDuringSchedulingIgnoredDuringExecution"] = [
                {"weight": self.pick(1, 7, 100, 0), "preference": self.term(sound=True)} for _ in range(r.randint(1, 3))
            ]
        if node:
            body["affinity"] = {"nodeAffinity": node}

    def term(self, *, sound: bool = False) -> Object:
        """A selector term; where it need not be ``sound``, now and then one that can not be read."""
        r, term = self.random, {}
        if r.random() < 0.8:
            term["matchExpressions"] = [self.requirement(sound) for _ in range(r.randint(1, 2))]
        if r.random() < 0.35:
            count = 1 if sound or r.random() < 0.8 else r.randint(0, 2)
            term["matchFields"] = [
                {
                    "key": "metadata.name",
                    "operator": self.pick("In", "In", "NotIn"),
                    "values": [f"n{r.randint(0, 9)}" for _ in range(count)],
                }
                for _ in range(r.choice((1, 1, 2)))
            ]
        return term

    def requirement(self, sound: bool) -> Object:
        if not sound and self.random.random() < 0.06:
            return self.pick(
                {"key": "bad key!", "operator": "Exists"},
                {"key": "disk", "operator": "In", "values": ["no value!"]},
                {"key": "disk", "operator": "In"},
                {"key": "size", "operator": "Gt", "values": ["many"]},
                {"key": "disk", "operator": "Exists", "values": ["ssd"]},
                {"key": "disk", "operator": "Near", "values": ["ssd"]},
            )
        key = self.pick(ZONE, "disk", "size", "nowhere")
        operator = self.pick("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
        if operator in ("Exists", "DoesNotExist"):
            return {"key": key, "operator": operator}
        values = {ZONE: "abc", "disk": ("ssd", "hdd", ""), "size": ("3", "7", "5")}.get(key, ("3",))
        if operator in ("Gt", "Lt"):
            return {"key": key, "operator": operator, "values": [self.pick("3", "5", "5" if sound else "-7")]}
        return {"key": key, "operator": operator, "values": self.few(values, 2) or [values[0]]}

    # -- clusters --------------------------------------------------------------------------------------------------

    def cluster(self, nodes: int) -> list[Object]:
        """Nodes, some labels and taints the same, and pods on some of them."""
        made: list[Object] = company.surroundings(self.random)
        made += [self.node(i) for i in range(nodes)]
        for i in range(nodes):
            count = self.random.choice((0, 0, 1, 2, 3))
            made += [self.resized(self.pod(f"on-{i}-{k}", nodeName=f"n{i}")) for k in range(count)]
        return made

    def resized(self, pod: Object) -> Object:
        """A pod on a node; at times its containers were given something else than they ask for."""
        pod["status"] = {"phase": self.pick("Running", "Running", "Pending", "Succeeded")}
        if self.some(0.1, "spread", "company"):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if not self.some(0.3, "fit"):
            return pod
        statuses = []
        for container in pod["spec"]["containers"]:
            status: Object = {"name": container["name"], "allocatedResources": {"cpu": self.pick(*CPUS)}}
            if self.random.random() < 0.7:
                status["resources"] = {"requests": {"cpu": self.pick(*CPUS), "memory": self.pick(*MEMORIES)}}
            statuses.append(status)
        pod["status"]["containerStatuses"] = statuses
        if self.random.random() < 0.4:
            reason = self.pick("Infeasible", "Deferred")
            pod["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
        return pod
