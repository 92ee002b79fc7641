"""Makes it safe to import torch in a process that draws with OpenGL."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress


def prepare_torch() -> None:
    """Load triton in a way that survives Mesa; call it before torch is imported.

    Importing torchvision imports torch's compiler, and that triton. triton carries
    its own LLVM, and Mesa's OpenGL drivers have another one in the global namespace
    of the process: without deep binding triton calls into Mesa's, and the whole
    window dies of a segmentation fault while the model is loaded.

    torch also warns that it replaces kernels of its own (2.14); napari would show that
    as if the person had to do something about it.
    """
    warnings.filterwarnings("ignore", "Warning only once for all operators")
    deep = getattr(os, "RTLD_DEEPBIND", None)
    if deep is None or "triton" in sys.modules:
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | deep)
    try:
        # an optional part of torch: absent, or not fit for this machine, is fine
        with suppress(ImportError, OSError):
            import triton._C.libtriton  # noqa: F401
    finally:
        sys.setdlopenflags(flags)
