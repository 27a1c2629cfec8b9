// fault_pybind: an extension of Python by pybind11. A library in C++ faults, with the interpreter lock and without it.
#include "library.h"

#include <pybind11/pybind11.h>
#include <string>

namespace py = pybind11;

struct Parser {
    std::string name = "a name that is too long to lie in the string itself";

    long parse(const py::object &) const { return measure(static_cast<long>(name.size())); }
};

PYBIND11_MODULE(fault_pybind, module)
{
    module.def("held", [](const py::object &) { return measure(1); });
    module.def("released", [](const py::object &) {
        py::gil_scoped_release released;
        return measure(1);
    });
    module.def(
        "guarded", [](py::args, py::kwargs) { return measure(1); }, py::call_guard<py::gil_scoped_release>());
    // The fault is in the function that holds the arguments.
    module.def("in_place", [](const py::object &) {
        volatile int *pointer = nullptr;
        __asm__ volatile("" : "+r"(pointer));
        return *pointer;
    });
    module.def("alive", witnesses);
    py::class_<Parser>(module, "Parser").def(py::init<>()).def("parse", &Parser::parse);
}
