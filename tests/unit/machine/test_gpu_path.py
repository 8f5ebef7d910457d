"""Training, scoring, calibration and GPTQ on `cuda`, where there is no GPU: fake tensors."""

import json
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
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What tests/support/gpu_path.py finds in each of its cases."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to make a fake CUDA device with")
    if torch.version.cuda is not None:
        pytest.skip("this torch has CUDA: its own device takes the place of a fake one")
    library = tmp_path_factory.mktemp("cuda") / "libfakecuda.so"
    installed = Path(torch.__file__).parent
    flags = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{installed}/include"]
    links = [f"-L{installed}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{installed}/lib"]
    source = SUPPORT / "fake_cuda.cpp"
    subprocess.run([compiler, *flags, source, "-o", library, *links], check=True)
    command = [sys.executable, SUPPORT / "gpu_path.py", library]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("model", ["ebls", "independent"])
def test_all_tensors_are_where_and_what_they_must_be(cases, model: str) -> None:
    assert cases[model] is None


@pytest.mark.parametrize("fault", FAULTS)
def test_what_would_fail_or_wait_on_a_gpu_is_found(cases, fault: str) -> None:
    assert FAULTS[fault] in (cases[fault] or "")
