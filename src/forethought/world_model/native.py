"""Units whose code between the products is compiled for the processor at hand.

Needs a C compiler where it runs: ``cc``, or what the variable ``CC`` names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from ctypes import CDLL, c_float, c_int, c_long, c_void_p
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import ForethoughtError
from forethought.world_model.units import Change, Look, Norm, PackedUnits

SOURCE = Path(__file__).with_name("native.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")
# So that sums are split over the lanes of a register; numbers that are none stay what they are.
FLAGS += ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math")
NAMES = {torch.float32: "-DFLOAT32", torch.bfloat16: "-DBFLOAT16"}
SECONDS = 60


class NativeUnits(PackedUnits):
    """Products as :class:`PackedUnits`, and what lies between them in one pass over memory each.

    Args:
        dtype: of weights and states, float32 or bfloat16.

    Raises:
        ForethoughtError: no C compiler, or one that fails.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self._library = compiled(NAMES[dtype])

    def advance(
        self,
        states: Float[Tensor, "m n d"],
        change: Change | None,
        shift: Float[Tensor, "m n d"],
        scale: Float[Tensor, "m n d"],
        look: Look,
    ) -> tuple[Float[Tensor, "m n d"], Float[Tensor, "m n d"]]:
        """See :class:`Units`."""
        seen = torch.empty_like(states)
        moved = states if change is None else torch.empty_like(states)
        self._library.advance(
            states.shape[0] * states.shape[1],
            states.shape[2],
            states.data_ptr(),
            None if change is None else change.gate.data_ptr(),
            None if change is None else change.value.data_ptr(),
            shift.data_ptr(),
            scale.data_ptr(),
            shift.stride(1),
            look.outer_eps,
            look.eps,
            look.gain.data_ptr(),
            look.bias.data_ptr(),
            moved.data_ptr(),
            seen.data_ptr(),
        )
        return moved, seen

    def attend(
        self,
        query: Float[Tensor, "n i"],
        kept: Sequence[Float[Tensor, "n two_i"]],
        heads: int,
        out: Float[Tensor, "n i"],
    ) -> None:
        """See :class:`Units`; compiled for two to four states, and heads of width 32 and 64."""
        n, inner = query.shape
        pointers = (c_void_p * len(kept))(*(pair.data_ptr() for pair in kept))
        done = self._library.attend(
            n,
            heads,
            inner // heads,
            len(kept),
            query.data_ptr(),
            pointers,
            kept[0].stride(0),
            out.data_ptr(),
        )
        if not done:
            super().attend(query, kept, heads, out)

    def gate(
        self,
        products: Float[Tensor, "n three_d"],
        told: Float[Tensor, "n d"],
        before: Float[Tensor, "n d"],
        norm: Norm | None,
        after: Float[Tensor, "n d"],
        seen: Float[Tensor, "n i"],
    ) -> None:
        """See :class:`Units`; compiled for states in float32."""
        if before.dtype != torch.float32:
            super().gate(products, told, before, norm, after, seen)
            return
        self._library.gate(
            *before.shape,
            products.data_ptr(),
            told.data_ptr(),
            before.data_ptr(),
            None if norm is None else norm.gain.data_ptr(),
            None if norm is None else norm.bias.data_ptr(),
            0.0 if norm is None else norm.eps,
            after.data_ptr(),
            seen.data_ptr(),
            seen.stride(0),
        )


def compiler() -> str | None:
    """The C compiler: what the variable CC names, or ``cc``; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


@cache
def compiled(name: str) -> CDLL:
    """The functions of ``native.c`` for one kind of numbers.

    They are compiled anew by each process, which takes about a second: nothing that lies on a disk
    is executed but the compiler.

    Args:
        name: the compiler's flag for the numbers.

    Raises:
        ForethoughtError: see :class:`NativeUnits`.
    """
    program = compiler()
    if program is None:
        raise ForethoughtError(
            "no C compiler found (cc, or what the variable CC names); install one, or plan with "
            "FastConfig(compiled=False)."
        )
    try:
        functions = _loaded(program, name)
    except (OSError, subprocess.SubprocessError) as error:
        # Also where what was compiled cannot be loaded: folders may forbid to execute.
        told = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise ForethoughtError(
            f"{program} could not compile {SOURCE.name}: {told.strip()[-500:]}. Plan with "
            "FastConfig(compiled=False)."
        ) from error
    functions.attend.argtypes = [c_long] * 4 + [c_void_p] * 2 + [c_long, c_void_p]
    functions.attend.restype = c_int
    functions.advance.argtypes = (
        [c_long] * 2 + [c_void_p] * 5 + [c_long] + [c_float] * 2 + [c_void_p] * 4
    )
    functions.advance.restype = None
    functions.gate.argtypes = [c_long] * 2 + [c_void_p] * 5 + [c_float] + [c_void_p] * 2 + [c_long]
    functions.gate.restype = None
    return functions


def _loaded(program: str, name: str) -> CDLL:
    """What a compiler makes of ``native.c``."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "native.so"
        command = [program, *FLAGS, name, str(SOURCE), "-o", str(library), "-lm"]
        subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        return CDLL(str(library))
