"""pyzmq's part of the benchmark key_directory: loads the given directory, and prints the time that this took, the growth of
the process, and the number of keys."""

import os
import sys
import time
import zmq.auth


def resident():
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


before = resident()
start = time.perf_counter_ns()
keys = zmq.auth.load_certificates(sys.argv[1])
took = time.perf_counter_ns() - start
print(f"ns {took}\ngrown {resident() - before}\nfiles {len(keys)}")
