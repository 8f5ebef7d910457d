"""Training, scoring, calibration and GPTQ on `cuda`, where there is no GPU: fake tensors."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from support.configs import ROOT

SUPPORT = ROOT / "tests" / "support"
FAULTS = {
    "rotation_on_the_cpu": "found at least two devices, cuda:0 and cpu",
    "read_in_muon": "aten._local_scalar_dense",
    "rotation_in_float64": "dtype",
}


@pytest.fixture(scope="module")
def cases() -> dict[str, str | None]:
    """What tests/support/gpu_path.py finds in each of its cases."""
    command = [sys.executable, SUPPORT / "gpu_path.py", built_library()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def built_library() -> Path:
    """The fake device, compiled once for this torch and source, kept in the checkout."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to make a fake CUDA device with")
    if torch.version.cuda is not None:
        pytest.skip("this torch has CUDA: its own device takes the place of a fake one")
    installed, source = Path(torch.__file__).parent, SUPPORT / "fake_cuda.cpp"
    made_from = f"{torch.__version__} {installed}".encode() + source.read_bytes()
    name = f"libfakecuda-{hashlib.sha256(made_from).hexdigest()[:16]}.so"
    library = ROOT / ".pytest_cache" / "fake_cuda" / name
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{installed}/include"]
        links = [f"-L{installed}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{installed}/lib"]
        unfinished = library.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *flags, source, "-o", unfinished, *links], check=True)
        unfinished.replace(library)
    return library


@pytest.mark.parametrize("model", ["ebls", "independent"])
def test_all_tensors_are_where_and_what_they_must_be(cases, model: str) -> None:
    assert cases[model] is None


@pytest.mark.parametrize("fault", FAULTS)
def test_what_would_fail_or_wait_on_a_gpu_is_found(cases, fault: str) -> None:
    assert FAULTS[fault] in (cases[fault] or "")
