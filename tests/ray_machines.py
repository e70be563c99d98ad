"""Two Ray machines of one core each on loopback: `python -m tests.ray_machines`.

Writes the cluster's address and the process number of the second machine's raylet, and ends when
its input does. A process of its own, since Ray's warnings would be errors in a test's.
"""

import os
import sys

# niceness: else 15, with which tasks would hardly run beside other tests
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")

from ray.cluster_utils import Cluster

MEMORY = 80_000_000  # bytes of each machine's object store, near the smallest that Ray takes
QUICK = {  # a dead machine is noticed within seconds
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


def main() -> None:
    size = {"num_cpus": 1, "object_store_memory": MEMORY}
    first = {**size, "_system_config": QUICK, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=first)
    second = cluster.add_node(**size)
    raylet = second.all_processes["raylet"][0].process
    sys.stdout.write(f"{cluster.address} {raylet.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
