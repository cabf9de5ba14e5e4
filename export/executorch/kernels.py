"""Kernels and delegates that a program needs, and whether a phone has them.

The Android library holds the portable, optimised and quantised kernels and the XNNPACK delegate (its documentation
says so; the library itself has no list). Portable kernels are in every build, and the wheel has their list:
`kernels/portable/functions.yaml`. We hold our programs to that list: what only the optimised kernels have (`_fft_r2c`,
`_fft_c2r`, `linear`) loads on some phones and fails on others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from pocketmood.errors import ExportError

SOURCE = "portable kernels of the executorch wheel (kernels/portable/functions.yaml)"
MAGIC = b"ET"
DELEGATES = frozenset({"XnnpackBackend"})
CORE_PREFIX = "executorch_prim::"
CORE = frozenset({"aten::sym_size.int", "aten::sym_numel", "aten::_local_scalar_dense"})
"""In the runtime's core, beside all of CORE_PREFIX; the list of kernels leaves them out."""


def operators(program: Path) -> list[str]:
    """List the operators that a program leaves to kernels, outside of its delegates: `namespace::name.overload`."""
    from executorch.codegen.tools import selective_build

    data = program.read_bytes()
    if not data[4:8].startswith(MAGIC):  # the reader below ends the process where it finds anything else
        raise ExportError(f"{program.name}: no ExecuTorch program; export it again")
    return sorted(set(selective_build._get_program_operators(selective_build._get_program_from_buffer(data))))


def portable() -> frozenset[str]:
    """Return the names of all portable kernels of the installed runtime."""
    package = find_spec("executorch")
    if package is None or not package.submodule_search_locations:
        raise ExportError("executorch: not installed here; type `make setup` first")
    path = Path(next(iter(package.submodule_search_locations))) / "kernels" / "portable" / "functions.yaml"
    names = re.findall(r"^- (?:op|func): ([\w:.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if not names:
        raise ExportError(f"{path}: lists no kernels; has the executorch wheel changed its layout?")
    # The list leaves out the namespace of PyTorch's own operators.
    return frozenset(name if "::" in name else f"aten::{name}" for name in names)


def unknown(needed: Iterable[str], delegates: Iterable[str], kernels: frozenset[str]) -> list[str]:
    """List what a phone may not have: operators outside of `kernels` and of the core, and foreign delegates."""
    strange = [name for name in needed if name not in kernels | CORE and not name.startswith(CORE_PREFIX)]
    return [*strange, *(name for name in delegates if name not in DELEGATES)]
