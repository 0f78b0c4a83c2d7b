"""Run a command on a cluster of Slurm, PBS, LSF, SGE, ...: its workers are jobs that dask-jobqueue submits.

Run: python examples/cluster/jobqueue.py SYSTEM JOBS COMMAND...
     python examples/cluster/jobqueue.py pbs 16 decode maps.zarr labels.zarr --resume

Needs `pip install dask-jobqueue`. What a job asks for is set as dask-jobqueue documents it, in jobqueue.yaml
or in the environment: DASK_JOBQUEUE__PBS__CORES=16, __MEMORY=64GB, __QUEUE=long, __WALLTIME=12:00:00. Files
must lie where all nodes see them. The command begins when the first job does, and later ones join in.
"""

from __future__ import annotations

import subprocess
import sys

import dask_jobqueue
from dask_jobqueue.local import LocalCluster
from distributed import Client

CLUSTERS = {
    "htcondor": dask_jobqueue.HTCondorCluster,
    "local": LocalCluster,
    "lsf": dask_jobqueue.LSFCluster,
    "oar": dask_jobqueue.OARCluster,
    "pbs": dask_jobqueue.PBSCluster,
    "sge": dask_jobqueue.SGECluster,
    "slurm": dask_jobqueue.SLURMCluster,
}
"""By the name of the batch system; `local` starts processes of this machine."""


def run(system: str, jobs: int, command: list[str]) -> int:
    """Submit jobs, run the command on them, and return its exit status."""
    with CLUSTERS[system](processes=1) as cluster, Client(cluster) as client:
        cluster.scale(jobs=jobs)
        client.wait_for_workers(1)  # which a queue may take hours to start
        whole = [sys.executable, "-m", "mitotools", *command, "--scheduler", cluster.scheduler_address]
        return subprocess.run(whole, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in CLUSTERS:
        sys.exit(f"Usage: jobqueue.py SYSTEM JOBS COMMAND...; SYSTEM: {', '.join(CLUSTERS)}")
    sys.exit(run(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
