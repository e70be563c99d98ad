"""Where the cases of a study run: here one after another, in processes, or on a Ray cluster.

One interface for the three. The order of cases is `compare.execute`'s; when and where a case that
was handed over starts is decided by the standard library's pool or by Ray.
"""

from compare.workers.case import Settings
from compare.workers.cluster import Cluster
from compare.workers.here import Here
from compare.workers.interface import WorkerLost, Workers
from compare.workers.processes import Processes

__all__ = ["Cluster", "Here", "Processes", "Settings", "WorkerLost", "Workers"]
