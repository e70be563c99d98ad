"""Where the cases of a study run: here one after another (also with torchrun's other processes), in
processes, or on a Ray cluster.

One interface for all. The order of cases is `compare.execute`'s; when and where a case that
was handed over starts is decided by the standard library's pool or by Ray.
"""

from compare.workers.case import Settings
from compare.workers.cluster import Cluster
from compare.workers.here import Here
from compare.workers.interface import WorkerLost, Workers
from compare.workers.processes import Processes
from compare.workers.together import Together

__all__ = ["Cluster", "Here", "Processes", "Settings", "Together", "WorkerLost", "Workers"]
