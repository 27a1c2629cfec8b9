// fault_cxx: an extension of Python in C++. A method that catches everything, as binding libraries have it: an exception
// becomes one of Python. What faults lies below it, and holds what a destructor gives back.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <exception>
#include <stdexcept>

static int held_things;

struct Witness {
    Witness() { held_things++; }
    ~Witness() { held_things--; }
};

// Nothing is known of the pointer, and nothing is inlined. That it may throw is all that the callers know.
__attribute__((noinline)) static int parse_header(volatile int *header, Py_ssize_t length)
{
    if (length == 42)
        std::__throw_out_of_range("the header is too long");
    return *header;
}

__attribute__((noinline)) static int measure(Py_ssize_t length)
{
    Witness witness;
    volatile int *pointer = nullptr;
    __asm__ volatile("" : "+r"(pointer));
    return parse_header(pointer, length) + held_things;
}

static PyObject *caught(PyObject *, PyObject *)
{
    try {
        return PyLong_FromLong(measure(held_things));
    } catch (...) {
        try {
            std::rethrow_exception(std::current_exception());
        } catch (const std::exception &error) {
            PyErr_SetString(PyExc_RuntimeError, error.what());
        }
        return nullptr;
    }
}

// Terminates where an exception would leave it.
static PyObject *quiet(PyObject *, PyObject *) noexcept
{
    return PyLong_FromLong(measure(held_things));
}

static PyObject *things(PyObject *, PyObject *)
{
    return PyLong_FromLong(held_things);
}

static PyMethodDef methods[] = {
    {"caught", caught, METH_NOARGS, nullptr},
    {"quiet", quiet, METH_NOARGS, nullptr},
    {"things", things, METH_NOARGS, nullptr},
    {},
};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "fault_cxx", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_fault_cxx()
{
    return PyModule_Create(&definition);
}
