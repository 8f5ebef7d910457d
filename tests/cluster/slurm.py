"""A Slurm of one node and eight pretended GPUs on this machine, for as long as a command runs.

    python tests/cluster/slurm.py COMMAND [ARGUMENTS]      # as root, on Debian or Ubuntu

Installs slurm-wlm and munge when they are missing, starts munged, slurmctld and slurmd, runs the
command with SLURM_CONF in its environment and a `python` that has Snakemake's Slurm plugin, and
stops all that was started, jobs included. Everything written is in one folder, which is removed:
nothing under /etc, so no other Snakemake on this machine sees a Slurm, neither meanwhile nor
afterwards.
"""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.interpreters import interpreter_with

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "envs" / "cluster.txt"
PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "setpriv")
GPUS = 8

# The node claims more cores and memory than this machine may have (config_overrides), so that
# the profile's real requests fit. Jobs are scheduled at once, not every few seconds.
SLURM_CONF = """\
ClusterName=local
SlurmctldHost=localhost
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
KillWait=2
GresTypes=gpu
NodeName=localhost CPUs=64 RealMemory=512000 Gres=gpu:{gpus}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# Writes down the GPUs that every job and job step is given.
PROLOG = """\
#!/bin/sh
echo "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES:--}}" >> {folder}/devices.log
"""

# Snakemake's job steps drop SLURM_* from srun's environment, SLURM_CONF with them.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


class Unavailable(Exception):
    """This machine cannot have a Slurm; the message is one line."""


def search_path() -> str:
    """PATH with the folders of system programs, which not every user's has."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]


def install() -> None:
    """Install Slurm and munge with apt unless they are there. Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("no Slurm: only root can start slurmd and make device files")
    if missing_programs():
        if shutil.which("apt-get") is None:
            raise Unavailable(f"no Slurm: {missing_programs()[0]} is missing, and so is apt-get")
        apt = ["apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *PACKAGES]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        commands = (apt, ["apt-get", "--quiet", "update"], apt)
        for command in commands:
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if not missing_programs():
                return
        reason = (done.stderr.strip() or "programs still missing").splitlines()[-1]
        raise Unavailable(f"no Slurm: apt-get cannot install {' and '.join(PACKAGES)}: {reason}")


def install_plugin(folder: Path) -> None:
    """Install Snakemake's Slurm plugin into a folder of its own. Raises Unavailable."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--target", str(folder), "--requirement", str(PLUGIN)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        raise Unavailable(f"no Slurm plugin: pip cannot install envs/cluster.txt: {reason}")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True)
class Slurm:
    """A running Slurm.

    folder: its configuration, state and logs; environment: for commands that talk to it; python:
    an interpreter that has Snakemake's plugin.
    """

    folder: Path
    environment: dict[str, str]
    python: Path

    def ask(self, *command: str) -> str:
        """Output of one of Slurm's commands, empty if it failed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def devices(self) -> dict[str, str]:
        """CUDA_VISIBLE_DEVICES of every job that ran, `-` where it was not set."""
        lines = (self.folder / "devices.log").read_text().splitlines()
        return dict(line.split() for line in lines)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in this environment: Snakemake, jobs and their children."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    found.append(process)
        return found


def write_configuration(folder: Path) -> None:
    """Configuration, munge key, device files and the two small scripts."""
    for name in ("state", "spool", "dev", "bin"):
        (folder / name).mkdir()
    controller_port, node_port = free_ports(2)
    values = {
        "folder": folder,
        "controller_port": controller_port,
        "node_port": node_port,
        "gpus": GPUS,
        "srun": shutil.which("srun", path=search_path()),
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    # Slurm sets CUDA_VISIBLE_DEVICES for character devices only; these are copies of /dev/null.
    for index in range(GPUS):
        os.mknod(folder / "dev" / f"nvidia{index}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/dev/nvidia[0-{GPUS - 1}]\n")
    for path, text in ((folder / "prolog", PROLOG), (folder / "bin" / "srun", SRUN)):
        path.write_text(text.format(**values))
        path.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)


def start_daemons(folder: Path, daemons: list[subprocess.Popen]) -> None:
    """Start munged, slurmctld and slurmd, appending each to `daemons` as soon as it runs.

    In the foreground and with setpriv, so that they end with this process however it ends.
    """
    conf = str(folder / "slurm.conf")
    munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
    commands = (
        ["munged", "--foreground", *(f"--{k}={folder}/munge.{v}" for k, v in munge.items())],
        ["slurmctld", "-D", "-c", "-f", conf],
        ["slurmd", "-D", "-N", "localhost", "-f", conf],
    )
    environment = os.environ | {"PATH": search_path()}
    with (folder / "daemons.log").open("wb") as log:
        for command in commands:
            daemon = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the command; these are stopped after it
            )
            daemons.append(daemon)
            if not wait_until((folder / "munge.socket").exists, 10):
                return


def stop(slurm: Slurm, daemons: list[subprocess.Popen]) -> None:
    """End what runs under this Slurm, cancel what waits, stop the daemons; last one first."""
    for process in slurm.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()
    if all(daemon.poll() is None for daemon in daemons):
        slurm.ask("scancel", "--me")
        wait_until(lambda: not slurm.ask("squeue", "--noheader"), 15)
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """A Slurm whose node is idle; stopped at the end, whatever happens. Raises Unavailable."""
    install()
    # not under pytest's folder: a socket's path has at most 107 characters
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munged wants its socket within reach of every user
    python = interpreter_with(folder / "python", packages=[folder / "plugin"])
    path = [folder / "bin", python.parent, Path(sys.executable).parent, search_path()]
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": os.pathsep.join(map(str, path)),
    }
    environment.pop("CUDA_VISIBLE_DEVICES", None)  # jobs would inherit it
    slurm, daemons = Slurm(folder, environment, python), []
    try:
        install_plugin(folder / "plugin")
        try:
            write_configuration(folder)
        except PermissionError as error:
            raise Unavailable(f"no Slurm: cannot make device files: {error}") from None
        start_daemons(folder, daemons)
        if not wait_until(lambda: "idle" in slurm.ask("sinfo", "--noheader"), 30):
            log = (folder / "daemons.log").read_text()
            raise RuntimeError(f"Slurm did not start:\n{log[-2000:]}")
        yield slurm
    finally:
        stop(slurm, daemons)
        shutil.rmtree(folder)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("error: no command given; expected slurm.py COMMAND [ARGUMENTS]")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with running() as slurm:
            code = subprocess.run(sys.argv[1:], env=slurm.environment).returncode
    except Unavailable as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)


if __name__ == "__main__":
    main()
