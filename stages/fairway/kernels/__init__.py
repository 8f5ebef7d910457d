"""What compiled code is made of: numba's decorator, lanes, prefetching, threads, a dictionary.

In: functions and arrays. Out: the same results, sooner. Must not know what is computed.
README.md says what each piece written below numba is worth.
"""
