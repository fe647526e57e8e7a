"""Do the pods fit the nodes that an overlay says it needs?"""

from fractions import Fraction

from manifests import Manifest, Pod

_UNITS = {"": 1, "m": Fraction(1, 1000), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

Amounts = dict[str, Fraction]


def quantity(value: str | float) -> Fraction:
    """A Kubernetes quantity, such as 250m, 3 or 1536Mi.

    Raises:
        ValueError: it is none.
    """
    text = str(value)
    number = text.rstrip("mkMGKi")
    if text[len(number) :] not in _UNITS:
        raise ValueError(f"{text} is no quantity")
    return Fraction(number) * _UNITS[text[len(number) :]]


def requests(pod: Pod) -> Amounts:
    """What the scheduler sets aside: the sum of the containers', or the largest init container's."""
    total: Amounts = {}
    for container in pod.spec["containers"]:
        for name, amount in container["resources"]["requests"].items():
            total[name] = total.get(name, Fraction(0)) + quantity(amount)
    for container in pod.spec.get("initContainers", []):
        for name, amount in container["resources"]["requests"].items():
            total[name] = max(total.get(name, Fraction(0)), quantity(amount))
    return total


def homeless(pods: list[Pod], pools: list[Manifest]) -> list[str]:
    """Pods for which no node is large enough, and those of the always running that find no room beside the others."""
    sizes = {pool["name"]: {k: quantity(v) for k, v in pool["allocatable"].items()} for pool in pools}
    found = [
        f"{pod.owner}: {requests(pod)} fits no node"
        for pod in pods
        if not any(_fits(requests(pod), size) for size in sizes.values())
    ]
    free = [dict(sizes[pool["name"]]) for pool in pools for _ in range(pool["count"])]
    largest_first = sorted(pods, key=lambda one: -requests(one)["memory"])
    replicas = [pod for pod in largest_first for _ in range(pod.always)]
    for pod in replicas:
        needs = requests(pod)
        node = next((node for node in free if _fits(needs, node)), None)
        if node is None:
            found.append(f"{pod.owner}: no room left for it on the nodes that always run")
            continue
        for name, amount in needs.items():
            node[name] -= amount
    return found


def _fits(needs: Amounts, node: Amounts) -> bool:
    return all(amount <= node.get(name, 0) for name, amount in needs.items())
