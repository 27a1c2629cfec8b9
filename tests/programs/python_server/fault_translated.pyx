# cython: language_level=3
# distutils: language = c++
"""fault_translated: an extension of Python in Cython that calls a library in C++ and takes its exceptions."""

cdef extern from "library.h":
    int measure(long length) except +
    int measure_alone "measure"(long length) nogil except +
    int witnesses()


def held(argument):
    return measure(1)


def released(argument):
    cdef int found
    with nogil:
        found = measure_alone(1)
    return found


def alive():
    return witnesses()
