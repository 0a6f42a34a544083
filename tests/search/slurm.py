"""A SLURM cluster of two nodes on this machine, for as long as a test lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

MISSING = not all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch")) or os.geteuid() != 0
"""Whether there is no SLURM here, or it cannot be started by this user."""
NODES = ("n1", "n2")

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
# A job that is put back into the queue waits for as long as credentials last.
AuthInfo=cred_expire=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=10
SchedulerParameters=sched_interval=2
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def slurm(folder: Path, cores: int) -> Iterator[dict[str, str]]:
    """Start the cluster; yields what its commands need in their environment."""
    (folder / "state").mkdir(parents=True)
    config = folder / "slurm.conf"
    lines = [_CONFIG.format(host=socket.gethostname(), control=_free_port(), folder=folder)]
    lines += [
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={_free_port()} CPUs={cores}\n"
        for name in NODES
    ]
    lines.append(f"PartitionName=all Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP\n")
    config.write_text("".join(lines))
    environment = {**os.environ, "SLURM_CONF": str(config)}
    daemons = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in NODES)]
    with contextlib.ExitStack() as running:
        for daemon in daemons:
            process = subprocess.Popen(
                daemon, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
            )
            running.callback(process.wait)
            running.callback(process.terminate)
        _wait_for_nodes(environment)
        yield environment


def _wait_for_nodes(environment: dict[str, str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = subprocess.run(["sinfo", "-h", "-o", "%D %T"], env=environment, capture_output=True, text=True)
        if seen.stdout.split() == [str(len(NODES)), "idle"]:
            return
        time.sleep(0.5)
    raise TimeoutError(f"SLURM's nodes are not idle: {seen.stdout} {seen.stderr}")
