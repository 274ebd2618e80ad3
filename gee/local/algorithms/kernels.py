"""``Kernel.*``."""

from __future__ import annotations

from functools import partial
from typing import Any

from gee.local.raster import kernels
from gee.local.raster.kernels import Kernel
from gee.local.registry import algorithm, promotion


@promotion("Kernel")
def _kernel(value: Any) -> Kernel:
    if not isinstance(value, Kernel):
        raise TypeError
    return value


for _name in kernels.SHAPES:
    algorithm(f"Kernel.{_name}")(partial(kernels.shaped, _name))
for _name in kernels.MATRICES:
    algorithm(f"Kernel.{_name}")(partial(kernels.matrix, _name))
algorithm("Kernel.rectangle")(kernels.rectangle)
algorithm("Kernel.gaussian")(kernels.gaussian)
algorithm("Kernel.fixed")(kernels.fixed)
algorithm("Kernel.rotate")(kernels.rotate)
algorithm("Kernel.inverse")(kernels.inverse)
algorithm("Kernel.add")(kernels.add)
