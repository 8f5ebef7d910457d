"""bench/gpu.py: the whole of it at a tiny size on a CPU, and that its checks can fail."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import gpu
import numpy as np
import pytest
import torch
from gpu_parts import checks as gpu_checks
from gpu_parts import parts, timing
from gpu_parts import workload as gpu_workload
from gpu_parts.figures import Baseline, Check, Figure, Report

from fairway.corpus.shards import write_shard
from fairway.stage import StageError

ROOT = Path(gpu.__file__).resolve().parents[1]
RECORD = ROOT / "config" / "fineweb.yaml"
TINY = [RECORD, ROOT / "config" / "shrunk.yaml"]


def test_everything_runs_on_a_cpu_at_a_tiny_size(tmp_path: Path) -> None:
    """And with no package installed but those that the benchmark says it needs."""
    shard, page = tmp_path / "train.bin", tmp_path / "gpu.md"
    write_shard(shard, gpu_workload.synthetic_tokens(60_000, 1024, seed=2))
    command = ["tests/support/few_packages.py", "bench/gpu.py", "--device", "cpu", "--tiny"]
    command += ["--train-seconds", "0"]
    command += ["--train", str(shard), "--markdown", str(page)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr + done.stdout
    text = page.read_text()
    assert text.startswith("## CPU (") and str(shard) in text
    assert text.count("| pass |") == 2 * 17 + 1 + 2 * 2 and "FAIL" not in text
    for model in ("ebls", "independent"):
        for figure in (
            "step, 128 tokens",
            "apart: forward",
            "apart: backward",
            "Hessians",
            "search for steps: gradients, curves",
            "GPTQ",
            "GPTQ, 10 of 32 × 32" if model == "ebls" else "GPTQ, 22 of 32 × 32",
            "scoring",
            "step, as configured",
            "step, attention by FLASH_ATTENTION first",
        ):
            row = next(
                line for line in text.splitlines() if line.startswith(f"| {model} | {figure} |")
            )
            assert float(row.split("|")[3].replace(",", "")) > 0


def found_by_checks(**patches: object) -> dict[str, Check]:
    """The checks of the tiny shared model on the CPU; patches replace names of gpu_checks."""
    work = gpu_workload.load_workloads(TINY, "cpu", compiled=False)[0]
    text = gpu_workload.synthetic_tokens(20_000, 1024, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in patches.items():
            patch.setattr(gpu_checks, name, value)
        found = gpu_checks.differences(
            gpu_workload.reduced(work.config), work.training, text, torch.device("cpu"), 16
        )
        return {name: Check(name, difference, limit) for name, difference, limit in found}


def test_a_switch_that_takes_no_effect_is_found() -> None:
    used = gpu_checks.fake_quantised

    def only_on_the_reference(weights, sharpness):
        exact = weights[0].dtype == torch.float64
        return used(weights, sharpness) if exact else contextlib.nullcontext()

    checks = found_by_checks(fake_quantised=only_on_the_reference)
    failed = [name for name, check in checks.items() if not check.holds]
    assert len(failed) == 1 and failed[0].startswith("gradient with fake quantisation")


def test_a_device_that_computes_otherwise_is_found() -> None:
    """The forward loses one head's sign, as a wrong kernel might, in all but the reference."""
    from fairway.model import layers as model

    right = model.rotate

    def wrong(x: torch.Tensor, rotary) -> torch.Tensor:
        turned = right(x, rotary)
        return turned if x.dtype == torch.float64 else -turned.roll(1, dims=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "rotate", wrong)
        checks = found_by_checks()
    for name in (
        "logits, float32",
        "gradient, float32",
        "nll and entropy, float32, worst target, nats",
    ):
        assert not checks[name].holds, name


def run_some(some: dict[str, gpu.Part], only: list[str], seconds: float = 100.0) -> Report:
    report, saved = Report(), []
    deadline = time.monotonic() + seconds
    gpu.run_parts(some, only, deadline, report, lambda: saved.append(report.markdown("")))
    assert len(saved) == len([name for name in some if not only or name.split("-")[0] in only])
    return report


def test_a_part_that_fails_takes_nothing_with_it() -> None:
    ran = []

    def broken(seconds: float) -> None:
        raise RuntimeError("first line\nCUDA error: out of memory\n")

    found = run_some({"steps-a": broken, "device": ran.append}, [])
    names = [check.name for check in found.failed]
    assert ran and names == ["steps-a: RuntimeError: CUDA error: out of memory"]


def test_parts_can_be_chosen_and_are_left_out_after_the_deadline() -> None:
    ran = []
    some = {
        name: lambda seconds, name=name: ran.append(name)
        for name in ("steps-a", "device", "steps-b", "train-a")
    }
    run_some(some, ["steps"])
    assert ran == ["steps-a", "steps-b"]
    late = run_some(some, ["device"], seconds=-1.0)
    assert late.notes == ["device: left out, the time is over"] and len(ran) == 2


def test_what_has_a_published_baseline_comes_first() -> None:
    works = gpu_workload.load_workloads(TINY, "cpu", compiled=False)
    text = gpu_workload.synthetic_tokens(20_000, 1024, seed=1)
    names = list(gpu.all_parts(Report(), works, text, torch.device("cpu"), 0.0))
    assert names[:3] == ["steps-independent", "steps-ebls", "device"]
    assert len(names) == 1 + 2 * 6


def test_a_failed_check_is_the_exit_code(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny", "--only", "checks"])
    monkeypatch.setattr(parts, "differences", lambda *_: [("logits", float("nan"), 1.0)])
    with pytest.raises(SystemExit, match="1"):
        gpu.main()
    assert "FAIL: ebls: logits: nan, at most 1" in capsys.readouterr().out


def test_no_gpu_and_short_texts_are_clear_errors(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StageError, match="device: cuda; this machine has no GPU"):
        gpu.main()
    with pytest.raises(StageError, match="100 tokens; expected at least 120"):
        gpu_workload.split_text(np.zeros(100, np.uint16), 60)


def test_ratios_are_above_one_when_better() -> None:
    assert Figure("", "", 50, "ms", (Baseline("b", 75),)).comparison() == "1.50× b (75 ms)"
    rate = Figure("", "", 1500, "1/s", (Baseline("b", 1000, lower_is_better=False),))
    assert rate.comparison() == "1.50× b (1,000 1/s)"
    report = Report()
    report.figure("s", "f", 12345.6, "ms", Baseline("b", 75), Baseline("c", 7.5))
    report.check("c", 0.5, 0.4)
    assert [check.name for check in report.failed] == ["c"]
    page = report.markdown("Title")
    assert "| s | f | 12,346 | ms | 0.01× b (75 ms), 0.00× c (7.5 ms) |" in page
    assert "| c | 0.5 | 0.4 | FAIL |" in page


def test_operations_are_those_of_the_published_use() -> None:
    """98,304 tokens in 90.7 ms were 25 % of 989 TFLOP/s."""
    works = gpu_workload.load_workloads([RECORD], None, compiled=True)
    assert [work.name for work in works] == ["ebls", "independent"]
    for work in works:
        assert work.training.compile and work.training.device == "cuda"
        operations = gpu_workload.operations_per_token(work.config, work.training.sequence)
        assert 98_304 * operations / 0.0907 / 989e12 == pytest.approx(0.25, abs=0.005)
        small = gpu_workload.reduced(work.config)
        assert small.head_width == 64 and bool(small.shared_blocks) == bool(
            work.config.shared_blocks
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("triton_poi_fused__scaled_dot_product_cudnn_attention_backward_mm_4", "torch.compile"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_7", "attention"),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64>>", "attention"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NTN", "matrix products"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "matrix products"),
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("void at::native::multi_tensor_apply_kernel<at::native::FusedAdamMathFunctor>", "other"),
    ],
)
def test_kernels_are_told_apart_by_name(name: str, kind: str) -> None:
    assert timing.kernel_kind(name).endswith(kind)


def test_synthetic_text_can_be_learnt() -> None:
    text = gpu_workload.synthetic_tokens(50_000, 100, seed=3)
    assert text.dtype == np.uint16 and text.max() < 100
    assert np.array_equal(text, gpu_workload.synthetic_tokens(50_000, 100, seed=3))
    pairs = np.zeros((100, 100))
    np.add.at(pairs, (text[:-1], text[1:]), 1)
    assert 0.5 < pairs.max(axis=1).sum() / pairs.sum() < 0.65  # the likeliest next token
