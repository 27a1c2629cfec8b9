//! The tracer process: the path of one fault.
