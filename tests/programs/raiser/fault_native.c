// fault_native: an extension of Python whose functions fault.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

// Nothing is known of the pointer, and nothing is inlined.
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

static PyObject *held(PyObject *self, PyObject *argument)
{
    (void)self;
    (void)argument;
    return PyLong_FromLong(parse_header(null_pointer()));
}

static PyObject *released(PyObject *self, PyObject *argument)
{
    int found = 0;
    (void)self;
    (void)argument;
    Py_BEGIN_ALLOW_THREADS
    found = parse_header(null_pointer());
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(found);
}

// The interpreter is handed what is no object.
static PyObject *handed(PyObject *self, PyObject *argument)
{
    (void)self;
    (void)argument;
    return PyObject_Repr((PyObject *)8);
}

static PyMethodDef methods[] = {
    {"held", held, METH_NOARGS, NULL},
    {"released", released, METH_NOARGS, NULL},
    {"handed", handed, METH_NOARGS, NULL},
    {0},
};

// An object whose length faults: the interpreter calls no method for that.
static Py_ssize_t length(PyObject *self)
{
    (void)self;
    return parse_header(null_pointer());
}

static PyType_Slot slots[] = {{Py_sq_length, length}, {0, NULL}};
static PyType_Spec sized = {"fault_native.Sized", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, slots};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "fault_native", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_fault_native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module)
        PyModule_AddObject(module, "Sized", PyType_FromSpec(&sized));
    return module;
}
