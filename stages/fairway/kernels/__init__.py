"""What compiled code is made of: numba's decorator, lanes, prefetching, threads, a dictionary.

In: functions and arrays. Out: the same results, sooner. Knows nothing of what is computed.
"""
