"""Compile the Triton kernels for an H100, on a machine without one: python …/triton_for_hopper.py

Prints, as JSON, bytes of machine code by kernel. A program of its own, since kernels that are
decorated for Triton's interpreter cannot be compiled in the same process.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stages"))

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fairway.training import triton_kernels as kernels

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {  # of the arguments that are not arrays of bfloat16
    **dict.fromkeys(("gain", "cosine", "sine", "of_gain"), "*fp32"),
    **dict.fromkeys(("epsilon", "smallest"), "fp32"),
    **dict.fromkeys(("rows", "length", "count"), "i32"),
}
SIZES = {"gained": True, "heads": 8, "width": 64, "pairs": 8, "group": 2, "padded": 64}


def machine_code(kernel: triton.JITFunction) -> int:
    """Bytes of a kernel's code, with the sizes of the record's model."""
    block = kernels._VALUES // (SIZES["padded"] if "padded" in kernel.arg_names else 1)
    sizes = {k: v for k, v in {**SIZES, "block": block}.items() if k in kernel.arg_names}
    types = {name: TYPES.get(name, "*bf16") for name in kernel.arg_names}
    source = ASTSource(kernel, types | dict.fromkeys(sizes, "constexpr"), sizes)
    return len(triton.compile(source, target=HOPPER).asm["cubin"])


if __name__ == "__main__":
    names = "squares", "turned", "without"
    both = [f"_{name}{way}" for name in names for way in ("", "_backward")]
    print(json.dumps({name: machine_code(getattr(kernels, name)) for name in both}))
