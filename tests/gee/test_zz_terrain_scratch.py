import importlib.util, sys
spec=importlib.util.spec_from_file_location('tp','/work/main/tests/gee/test_partitions.py'); tp=importlib.util.module_from_spec(spec); spec.loader.exec_module(tp)
import numpy as np
def test_a(earth, shared_data):
    for k in (3,None):
        p,c,l=tp.parted(earth,k); print(c.shape, np.unique(c,return_counts=True)); print("\n".join("".join(map(str,r)) for r in c[::4]))
