# cython: language_level=3
"""fault_cython: an extension of Python in Cython whose functions fault, with the interpreter lock and without it."""

cdef extern from *:
    """
    /* Nothing is known of the pointer, and nothing is inlined. */
    static volatile int *null_pointer(void)
    {
        volatile int *pointer = NULL;
        __asm__ volatile("" : "+r"(pointer));
        return pointer;
    }

    __attribute__((noinline)) static int parse_header(volatile int *header)
    {
        return *header + 1;
    }
    """
    ctypedef int header_t "volatile int"
    header_t *null_pointer() nogil
    int parse_header(header_t *header) nogil


def held(argument):
    return parse_header(null_pointer())


def released(argument):
    cdef int found
    with nogil:
        found = parse_header(null_pointer())
    return found


# The fault is in the function that the interpreter calls.
def in_place(argument):
    return null_pointer()[0]


cdef object parse(argument):
    return parse_header(null_pointer()), argument


# The fault is below a function of Cython's own.
def below(argument):
    return parse(argument)


# What is raised in a call of Python's runs the handlers of the caller.
def cleaned(argument, called, noted):
    try:
        return called()
    finally:
        noted.append(argument)


cdef class Parser:
    def parse(self, argument):
        return parse_header(null_pointer())

    # No method: the interpreter calls what returns an object for an attribute.
    @property
    def header(self):
        return parse_header(null_pointer())
