"""Networks: their targets, patches, training and application. Home of torch."""

import os

# Where OpenMP's threads wait for each other they spin, by default for so long that a neighbour on the same
# processors makes training five times slower (two cores, 1.61 instead of .28 s an iteration; alone, .30 and
# .29). The variable is read once, when torch is first imported.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "2000"

# torch asks the kernel for large pages, where it allocates anew for every step: .88 instead of 1.02 s an
# iteration (preset fast, two patches of 64 x 128 x 128). Read when the first tensor is made.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
